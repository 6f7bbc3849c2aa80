"""What the page adds to the look of all pages. Colours come from there, and no colour is the only sign of anything."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
.hero { border: 1px solid var(--line); border-top: .4rem solid var(--edge); background: var(--raised);
  margin-top: 1.75rem;  border-radius: calc(var(--round) * 1.5); padding: clamp(1rem, 3vw, 2rem); }
.hero.bad { border-top-color: var(--bad); }
.hero.good { border-top-color: var(--accent); }
.hero h2 { font-size: clamp(2rem, 5.5vw, 3.4rem); letter-spacing: -.02em; margin-bottom: .6rem; }
.hero.bad h2 { color: var(--bad); }
.hero.good h2 { color: var(--accent); }
.top-row { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 20rem); gap: 1.5rem 2.5rem;
  align-items: start; }
.wall .hint { margin-top: .4rem; }
.tiles { display: grid; gap: 1px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 13rem), 1fr));
  margin: 1.25rem 0 .75rem; background: var(--line); border: 1px solid var(--line); border-radius: var(--round);
  overflow: hidden; }
.tiles > div { background: var(--raised); padding: .9rem 1.1rem; min-width: 0; }
.tiles dt { color: var(--muted); font-size: .88rem; margin-bottom: .25rem; }
.tiles dd { margin: 0 0 .15rem; font-size: .94rem; overflow-wrap: anywhere; }
.tiles b { font: 600 1.5rem/1.2 var(--serif); font-variant-numeric: tabular-nums; }
.tiles .hint { display: block; }
.said { font-weight: 600; }
.said.muted { font-weight: 500; }
.said .muted { font-weight: 400; }
.said.bad, .said.bad .mark { color: var(--bad); }
.said.good { color: var(--accent); }
.mark { display: inline-block; min-width: 1em; text-align: center; }

.window { margin-top: 1.5rem; }
.window .wrong { margin-bottom: .75rem; }
.choices { display: flex; flex-wrap: wrap; gap: .4rem; list-style: none; margin: 0 0 .6rem; padding: 0; }
.choices a { display: block; padding: .45rem .9rem; border: 1px solid var(--edge); border-radius: 2rem;
  text-decoration: none; background: var(--raised); }
.choices a[aria-current] { background: var(--accent); border-color: var(--accent); color: var(--on-accent);
  font-weight: 600; }
.window details > summary { padding: .3rem 0; width: max-content; max-width: 100%; color: var(--accent); }
.span { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 13rem), max-content)); gap: .75rem 1rem;
  align-items: end; margin: .5rem 0 1rem; }

.key { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; font-size: .92rem; margin-bottom: .75rem; }
.swatch { width: 1.25rem; height: 1.1rem; vertical-align: -.15em; }
.was { fill: var(--sunken); stroke: var(--edge); stroke-width: 1; vector-effect: non-scaling-stroke; }
.now { fill: var(--accent); }
.bad .now { fill: var(--bad); }
svg text { font: 11px var(--sans); fill: var(--muted); font-variant-numeric: tabular-nums; }
.chart { display: block; width: 100%; height: auto; max-width: 30rem; overflow: visible; }
.grid { fill: none; stroke: var(--line); stroke-width: 1; }
.tips rect { fill: transparent; }
.tips rect:hover { fill: var(--edge); fill-opacity: .2; }
.spark { display: block; width: 7.5rem; height: 2rem; }
.floor { stroke: var(--edge); stroke-width: 1; }
.twin { display: block; width: 100%; min-width: 4rem; height: 1rem; }
.squares { display: block; width: 100%; height: auto; }
.squares .full { fill: var(--bad); }
.squares .hollow { fill: none; stroke: var(--accent); stroke-width: 1.6; }
.squares .dot, .dot { fill: var(--edge); }
.whisker { fill: none; stroke: var(--muted); stroke-width: 2; }
.live .whisker { stroke: var(--accent); }
.live circle { fill: var(--accent); }
.diamond { fill: var(--raised); stroke: var(--muted); stroke-width: 2; }

.drift td, .drift th { vertical-align: middle; }
.drift tbody th { max-width: 16rem; }
.drift td.number { white-space: nowrap; }
.drift thead th:nth-child(n+4), .shares thead th:nth-child(n+3), .matrix thead th + th { text-align: right; }
.drift small, .matrix small { display: block; font-size: .82em; }
.drift.tall { max-height: min(46rem, 85vh); }
.drawn { min-width: 8rem; }
.cards { display: grid; gap: 1.25rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr));
  align-items: start; }
.cards + *, .scroll + p, .scroll + details { margin-top: 1.25rem; }
.close { padding: 1.1rem 1.2rem; min-width: 0; }
.close h3 { margin: 0 0 .15rem; overflow-wrap: anywhere; }
.close > p { margin: 0 0 .6rem; }
.close.bad { box-shadow: inset .28rem 0 0 var(--bad); }
.close.asked { outline: 2px solid var(--accent); outline-offset: 3px; }
.close details { margin-top: .6rem; font-size: .94rem; }
.close details > .scroll { margin-top: .6rem; }
.close summary { color: var(--accent); }
.shares th, .shares td, .close details th, .close details td { padding: .3rem .6rem; }
.shares tbody th { font-weight: 400; min-width: 6.4rem; }
.shares .drawn { min-width: 4rem; width: 45%; padding-inline: 0; }
.shares .number { padding-inline: .4rem; }
.shares td { vertical-align: middle; }
.heat1 { background: color-mix(in srgb, var(--tint) 35%, var(--raised)); }
.heat2 { background: color-mix(in srgb, var(--tint) 60%, var(--raised)); }
.heat3 { background: color-mix(in srgb, var(--tint) 80%, var(--raised)); }
.heat4 { background: var(--tint); }
.matrix td.right { box-shadow: inset 0 0 0 2px var(--edge); }

@media (max-width: 52rem) {
  .top-row { grid-template-columns: minmax(0, 1fr); }
  .wall { max-width: 22rem; }
}
@media print { .window { display: none; } .card { break-inside: avoid; } }
"""
