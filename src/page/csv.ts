import { useState } from 'preact/hooks';
import { ApiError, askCsv } from './api.ts';
import { html } from './html.ts';

/** By then a browser has taken what it is given. */
const TAKEN_MS = 10_000;

/** Has the browser keep a list of the API as a table, all its pages. */
export function Csv({ path, name }: { path: string; name: string }) {
  const [said, setSaid] = useState('');
  const keep = async (): Promise<void> => {
    setSaid('reading…');
    try {
      const url = URL.createObjectURL(new Blob([await askCsv(path)], { type: 'text/csv' }));
      const link = Object.assign(document.createElement('a'), { href: url, download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), TAKEN_MS);
      setSaid('');
    } catch (error) {
      setSaid(error instanceof ApiError ? error.message : String(error));
    }
  };
  return html`<button type="button" onClick=${keep}>CSV</button>
    ${said !== '' && html`<span role="status">${said}</span>`}`;
}
