"""How the pages look: system fonts, light and dark as the reader's system has it, readable on a phone.

The custom properties at the top are what other pages build on. No rule loads anything.
"""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --raised: #ffffff; --sunken: #f3f1eb;
  --ink: #1c2024; --muted: #565d65; --line: #dcd8ce; --edge: #84806f;
  --accent: #0b5d57; --on-accent: #ffffff; --tint: #e2efec;
  --bad: #a3211b; --bad-tint: #fbe9e7;
  --serif: ui-serif, "Iowan Old Style", "Palatino Linotype", Palatino, Charter, Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "Liberation Mono", monospace;
  --gap: 1.5rem; --round: .6rem; --measure: 68rem;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --raised: #1b1f23; --sunken: #101315;
    --ink: #e8e6e1; --muted: #a9b0b7; --line: #30363c; --edge: #7a828a;
    --accent: #74d3c4; --on-accent: #0c1f1c; --tint: #1d332f;
    --bad: #ff9d94; --bad-tint: #3a1f1d;
  }
}
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 1rem; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.55 var(--sans); }
h1, h2, h3 { font-family: var(--serif); font-weight: 600; line-height: 1.15; margin: 0; text-wrap: balance; }
h1 { font-size: clamp(2.4rem, 6vw, 4rem); letter-spacing: -.02em; overflow-wrap: anywhere; }
h2 { font-size: 1.6rem; margin-bottom: 1rem; }
h3 { font-size: 1.1rem; margin: 1.25rem 0 .5rem; }
p { margin: 0 0 1rem; max-width: 44rem; }
a { color: var(--accent); text-underline-offset: .18em; text-decoration-thickness: .07em; }
a:hover { text-decoration-thickness: .14em; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: .2rem; }
code, pre, .mono { font-family: var(--mono); font-size: .875em; }
code { overflow-wrap: anywhere; }
hr { border: 0; border-top: 1px solid var(--line); margin: 2rem 0; }
[hidden] { display: none !important; }

.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: .5rem; background: var(--raised); padding: .5rem 1rem; z-index: 9; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.muted { color: var(--muted); }
.lead { font-size: 1.2rem; color: var(--muted); max-width: 44rem; }
.top { border-bottom: 1px solid var(--line); }
.top ul { max-width: var(--measure); margin: 0 auto; padding: .35rem 1.25rem; list-style: none; display: flex;
  flex-wrap: wrap; gap: .25rem 1.35rem; }
.top a { display: block; padding: .35rem 0; color: var(--muted); text-decoration: none; }
.top a:hover { color: var(--accent); }
.top a[aria-current] { color: var(--ink); box-shadow: inset 0 -2px var(--accent); }
main { max-width: var(--measure); margin: 0 auto; padding: 2.5rem 1.25rem 5rem; }
section { margin-top: 3.5rem; }
.pill { display: inline-block; font: 500 .95rem/1 var(--mono); color: var(--accent); background: var(--tint);
  border-radius: 2rem; padding: .4em .8em; vertical-align: middle; margin-left: .6rem; letter-spacing: 0; }

.flow { display: flex; flex-wrap: wrap; align-items: stretch; gap: .6rem; margin: 1.75rem 0 0; padding: 0;
  list-style: none; }
.flow li { border: 1px solid var(--line); background: var(--raised); border-radius: var(--round);
  padding: .7rem 1.1rem; min-width: 0; max-width: 100%; position: relative; }
.flow li + li { margin-left: 1.5rem; }
.flow li + li::before { content: "→"; content: "→" / ""; position: absolute; left: -1.75rem; top: 50%;
  transform: translateY(-50%); color: var(--muted); }
.flow b { display: block; font: 600 1.05rem/1.3 var(--sans); overflow-wrap: anywhere; }
.flow span { color: var(--muted); font-size: .9rem; overflow-wrap: anywhere; }

.scroll { overflow: auto; border: 1px solid var(--line); border-radius: var(--round); background: var(--raised); }
.scroll.tall { max-height: min(34rem, 75vh); }
table { border-collapse: collapse; width: 100%; font-size: .94rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .5rem .9rem; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { position: sticky; top: 0; background: var(--sunken); color: var(--muted); font-weight: 500;
  font-size: .85rem; white-space: nowrap; }
tbody th { font-weight: 600; overflow-wrap: anywhere; min-width: 8rem; }
td.number, th.number { text-align: right; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .5rem 1.5rem; margin: 0; }
.facts dt { color: var(--muted); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.columns { display: grid; gap: 0 var(--gap); grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.columns > section { min-width: 0; }

.card { border: 1px solid var(--line); border-radius: calc(var(--round) * 1.5); background: var(--raised);
  padding: clamp(1rem, 3vw, 2rem); }
.fields { display: grid; gap: 1rem 1.25rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 13rem), 1fr)); }
.fields.many { max-height: min(38rem, 65vh); overflow: auto; padding: 1rem; background: var(--sunken);
  border-radius: var(--round); }
.field { min-width: 0; }
label { display: block; font-weight: 600; font-size: .92rem; overflow-wrap: anywhere; margin-bottom: .2rem; }
input, select, textarea { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--edge);
  border-radius: .35rem; padding: .45rem .6rem; width: 100%; min-height: 2.6rem; }
input[type=checkbox] { width: 1.15rem; height: 1.15rem; min-height: 0; vertical-align: -.2em; margin: 0;
  accent-color: var(--accent); }
textarea { font-family: var(--mono); font-size: .875rem; line-height: 1.45; resize: vertical; }
.hint { color: var(--muted); font-size: .83rem; margin: .2rem 0 0; overflow-wrap: anywhere; }
.wrong { color: var(--bad); font-size: .88rem; font-weight: 600; margin: .25rem 0 0; overflow-wrap: anywhere; }
[aria-invalid=true] { border-color: var(--bad); box-shadow: 0 0 0 1px var(--bad); }
.row { display: flex; flex-wrap: wrap; align-items: center; gap: .75rem 1.25rem; }
.row + .fields { margin-top: 1rem; }
.row > input[type=search] { flex: 1 1 14rem; width: auto; }
.spaced { margin-bottom: 1.25rem; }
form > p { margin: 1.5rem 0 0; }
.examples { display: flex; flex-wrap: wrap; gap: .3rem; list-style: none; margin: 0; padding: 0; }
.examples a { display: block; min-width: 2rem; padding: .2rem .5rem; text-align: center; border-radius: .35rem;
  text-decoration: none; border: 1px solid var(--line); }
.examples a[aria-current] { background: var(--tint); border-color: var(--accent); font-weight: 600; }
button { font: 600 1rem/1.2 var(--sans); color: var(--on-accent); background: var(--accent); border: 0;
  border-radius: .4rem; padding: .8rem 1.6rem; cursor: pointer; min-height: 2.75rem; }
button:hover { filter: brightness(1.12); }
button[disabled] { opacity: .6; cursor: progress; }
.copyable { position: relative; }
.copyable pre { background: var(--sunken); border: 1px solid var(--line); border-radius: var(--round); margin: 0;
  padding: .9rem 5.5rem .9rem 1rem; overflow: auto; max-height: 22rem; line-height: 1.5; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.copyable .copy { position: absolute; right: .5rem; top: .5rem; font-size: .8rem; padding: .35rem .7rem;
  min-height: 1.9rem; background: var(--raised); color: var(--accent); border: 1px solid var(--edge); }
.answer { border-left: 4px solid var(--accent); background: var(--tint); border-radius: 0 var(--round) var(--round) 0;
  padding: 1.1rem 1.4rem; margin-top: 1.5rem; }
.answer.no { border-color: var(--bad); background: var(--bad-tint); }
.answer h3 { margin: 0 0 .25rem; font: 500 .95rem var(--sans); color: var(--muted); }
.answer.no h3 { color: var(--bad); font-weight: 600; }
.verdict { font: 600 clamp(1.8rem, 4vw, 2.6rem)/1.2 var(--serif); margin: 0; overflow-wrap: anywhere; }
.bars { display: grid; grid-template-columns: minmax(0, max-content) minmax(4rem, 1fr) max-content; gap: .35rem 1rem;
  align-items: center; margin: 1rem 0 0; font-variant-numeric: tabular-nums; }
.bars dt { overflow-wrap: anywhere; }
.bars dd { margin: 0; }
.bar { display: block; width: 100%; height: .6rem; border-radius: .3rem; background: var(--line); }
.bar rect { fill: var(--accent); }
.bars + .hint { margin: .5rem 0 0; }
.answer details { margin-top: 1rem; }
.answer details .copyable { margin-top: .75rem; }
details > summary { cursor: pointer; }
footer { margin-top: 4rem; color: var(--muted); font-size: .9rem; border-top: 1px solid var(--line);
  padding-top: 1.25rem; }

.api { display: grid; gap: 2.5rem; grid-template-columns: 15rem minmax(0, 1fr); margin-top: 2.5rem; }
.api > nav { position: sticky; top: 1rem; align-self: start; max-height: calc(100vh - 2rem); overflow: auto;
  font-size: .9rem; }
.api nav ul { list-style: none; padding: 0; margin: 0 0 1rem; }
.api nav h2 { font: 600 .82rem var(--sans); color: var(--muted); margin: 0 0 .3rem; }
.api nav a { display: block; padding: .18rem 0; text-decoration: none; overflow-wrap: anywhere; }
.api nav a:hover { text-decoration: underline; }
.api section:first-child { margin-top: 0; }
.operation { border: 1px solid var(--line); border-radius: var(--round); background: var(--raised); margin: .75rem 0; }
.operation > summary { padding: .8rem 1.1rem; display: flex; flex-wrap: wrap; gap: .4rem .9rem; align-items: baseline; }
.operation > summary h3 { margin: 0; font: 600 .95rem var(--mono); overflow-wrap: anywhere; }
.operation > summary::after { content: "+"; content: "+" / ""; margin-left: auto; color: var(--muted);
  font: 600 1.2rem/1 var(--mono); }
.operation[open] > summary::after { content: "−"; content: "−" / ""; }
.operation > div { padding: 1rem 1.1rem 1.3rem; border-top: 1px solid var(--line); }
.operation h4 { font: 600 .95rem var(--sans); margin: 1.4rem 0 .5rem; }
.verb { font: 700 .8rem/1 var(--mono); border: 1px solid currentColor; border-radius: .3rem; padding: .3em .5em;
  color: var(--muted); }
.verb.post { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
.try { margin-top: 1rem; display: grid; gap: .75rem; grid-template-columns: minmax(0, 1fr); }
.try .row label { margin: 0; }
.try .row select { width: auto; max-width: 100%; }
output { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 24rem; overflow: auto; }

@media (max-width: 52rem) {
  main { padding-top: 1.75rem; }
  section { margin-top: 2.5rem; }
  .api { grid-template-columns: minmax(0, 1fr); gap: 1rem; }
  .api > nav { position: static; max-height: 14rem; border: 1px solid var(--line); border-radius: var(--round);
    padding: 1rem; }
  .flow { flex-direction: column; }
  .flow li + li { margin: 1.4rem 0 0; }
  .flow li + li::before { content: "↓"; content: "↓" / ""; left: 1.1rem; top: -1.05rem; }
  .facts { grid-template-columns: minmax(0, 1fr); gap: 0; }
  .facts dd { margin-bottom: .8rem; }
  th, td { padding: .45rem .65rem; }
}
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
@media print { .top, form, .copy { display: none; } .scroll { max-height: none; overflow: visible; } }
"""
