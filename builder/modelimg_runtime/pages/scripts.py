"""The pages' JavaScript: comfort only, since every page can be read and every form be sent without it."""

from __future__ import annotations

from typing import Final

_COPY: Final = """
const revive = root => { if (navigator.clipboard) for (const b of root.querySelectorAll('.copy')) b.hidden = false; };
revive(document);
document.addEventListener('click', async event => {
  const button = event.target.closest('.copy');
  if (!button) return;
  await navigator.clipboard.writeText(button.parentElement.querySelector('code').textContent);
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = 'Copy'; }, 1500);
});
"""

HOME: Final = f"""'use strict';
{_COPY}
const form = document.getElementById('form');
const find = document.getElementById('find');
const answer = document.getElementById('answer');
const narrow = () => {{
  const wanted = find ? find.value.trim().toLowerCase() : '';
  for (const field of form.querySelectorAll('.field')) {{
    field.hidden = !field.dataset.name.includes(wanted) && !field.querySelector('[aria-invalid]');
  }}
}};
if (find) {{
  find.closest('div').hidden = false;
  find.addEventListener('input', narrow);
  find.addEventListener('keydown', event => {{ if (event.key === 'Enter') event.preventDefault(); }});
}}
form.addEventListener('submit', async event => {{
  event.preventDefault();
  const button = form.querySelector('button[type=submit]');
  button.disabled = true;
  try {{
    const body = new URLSearchParams(new FormData(form));
    const response = await fetch(form.getAttribute('action'), {{method: 'POST', body}});
    const page = new DOMParser().parseFromString(await response.text(), 'text/html');
    for (const id of ['fields', 'answer']) {{
      const fresh = page.getElementById(id);
      if (!fresh) throw new Error(`HTTP ${{response.status}}`);
      document.getElementById(id).replaceChildren(...fresh.childNodes);
    }}
    narrow();
  }} catch (error) {{
    answer.textContent = `The server did not answer: ${{error.message}}`;
  }} finally {{
    button.disabled = false;
  }}
  revive(answer);
  answer.focus();
  answer.scrollIntoView({{block: 'nearest'}});
}});
"""

DOCS: Final = f"""'use strict';
{_COPY}
const unfold = () => {{
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const closed = target && target.closest('details');
  if (closed) {{ closed.open = true; target.scrollIntoView(); }}
}};
addEventListener('hashchange', unfold);
unfold();
for (const form of document.querySelectorAll('form.try')) {{
  form.hidden = false;
  const kind = form.querySelector('select');
  const body = form.querySelector('textarea');
  if (kind) kind.addEventListener('change', () => {{ body.value = kind.selectedOptions[0].dataset.body; }});
  form.addEventListener('submit', async event => {{
    event.preventDefault();
    const output = form.querySelector('output');
    const query = new URLSearchParams();
    for (const box of form.querySelectorAll('input:checked')) query.set(box.name, 'true');
    const url = form.dataset.path + (query.size ? `?${{query}}` : '');
    const options = {{method: form.dataset.method}};
    if (body) {{
      options.body = body.value;
      options.headers = {{'content-type': kind.selectedOptions[0].dataset.type}};
    }}
    const start = performance.now();
    try {{
      const response = await fetch(url, options);
      const text = await response.text();
      const took = (performance.now() - start).toFixed(1);
      let shown = text;
      try {{ shown = JSON.stringify(JSON.parse(text), null, 2); }} catch {{ /* not JSON */ }}
      output.textContent = `${{response.status}} in ${{took}} ms\\n${{shown.slice(0, 100000)}}`;
    }} catch (error) {{
      output.textContent = `The server did not answer: ${{error.message}}`;
    }}
  }});
}}
"""
