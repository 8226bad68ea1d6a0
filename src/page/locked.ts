import { useState } from 'preact/hooks';
import { type Answer, ask } from './api.ts';
import { grouped, hashrate, percent } from './format.ts';
import { html } from './html.ts';
import { usePolled } from './live.ts';
import { Card, Mark, Tile } from './parts.ts';

type Public = Answer<'proxy', 'getPublic'>;

/** For who may not look: what anybody may know, if the daemon says so, and the way in. */
export function Locked({ wasGiven, take }: { wasGiven: boolean; take: (value: string) => void }) {
  const [value, setValue] = useState('');
  const known = usePolled((signal) => ask<Public>('/public', signal), 10_000);
  const submit = (event: Event): void => {
    event.preventDefault();
    take(value.trim());
  };
  return html`
    ${known.value !== undefined && html`<${PublicTiles} known=${known.value} />`}
    <${Card} title="A token is needed" class="narrow">
      <p>From its own machine the page opens without one. From elsewhere it asks for a token of the data folder of the
      daemon: the text of <code>api-token-watch</code> to look, of <code>api-token-operate</code> to run it, of
      <code>api-token</code> to move money.</p>
      ${wasGiven && html`<p class="bad" role="alert">The token that was given is none of this daemon.</p>`}
      <form onSubmit=${submit} class="line">
        <label>Token <input type="password" autocomplete="off" value=${value}
          onInput=${(event: InputEvent) => setValue((event.currentTarget as HTMLInputElement).value)} /></label>
        <button type="submit" disabled=${value.trim() === ''}>Open</button>
      </form>
    <//>`;
}

function PublicTiles({ known }: { known: Public }) {
  const { shares_accepted: accepted, shares_submitted: submitted, chain_height: height } = known;
  const [tone, says] = known.is_serving ? ['good', 'mining'] : ['bad', 'down'];
  const service = html`<${Mark} tone=${tone}>${says}<//>`;
  return html`<div class="tiles">
    <${Tile} name="Hashrate" value=${hashrate(known.hashes_per_second_5m)}
      note=${`1 h ${hashrate(known.hashes_per_second_1h)}, 24 h ${hashrate(known.hashes_per_second_24h)}`} />
    <${Tile} name="Miners online" value=${grouped(known.sessions)} />
    <${Tile} name="Accepted" value=${submitted === 0 ? '–' : percent(accepted / submitted, 2)}
      note=${`${grouped(accepted)} of ${grouped(submitted)} shares, ${grouped(known.blocks_found)} blocks`} />
    <${Tile} name="Service" value=${service}
      note=${height === null ? '' : `block ${grouped(height)}`} />
  </div>`;
}
