import type { Answer } from './api.ts';
import { placesOf } from './dag-places.ts';
import { grouped, short, work } from './format.ts';
import { html } from './html.ts';
import { Card, Facts, Mark } from './parts.ts';

type Braid = Answer<'proxy', 'getDag'>[number];

const COLUMN_PX = 44;
const ROW_PX = 26;

/** The newest beads of a braid: cohorts from left to right, own beads filled, each joined to its parents. */
export function Dag({ braid }: { braid: Braid }) {
  const { name, reachable, error, shares, beads, cohorts, orphans, total_work_hashes: total } = braid;
  const places = placesOf(braid.newest_cohorts, braid.newest_beads);
  const width = (Math.max(0, ...[...places.values()].map(({ column }) => column)) + 1) * COLUMN_PX;
  const height = (Math.max(0, ...[...places.values()].map(({ row }) => row)) + 1) * ROW_PX;
  const at = (hash: string): { x: number; y: number } | undefined => {
    const place = places.get(hash);
    return place && { x: place.column * COLUMN_PX + 16, y: place.row * ROW_PX + 13 };
  };
  const aside = html`<${Mark} tone=${reachable ? 'good' : 'bad'}>${reachable ? 'in step' : (error ?? 'away')}<//>`;
  return html`<${Card} title=${`Braid of ${name}`} aside=${aside}>
    <div class="dag" tabindex="0" role="region" aria-label="newest beads">
      <svg width=${width} height=${height} role="img"
        aria-label=${`the ${grouped(places.size)} newest beads`}>
        ${braid.newest_beads.flatMap(({ hash, parents }) =>
          parents.map((parent) => {
            const [from, to] = [at(hash), at(parent)];
            if (from === undefined || to === undefined) return null;
            return html`<line key=${hash + parent} x1=${from.x} y1=${from.y} x2=${to.x} y2=${to.y} />`;
          }),
        )}
        ${braid.newest_beads.map(({ hash, ours, payout_address: address }) => {
          const place = at(hash);
          if (place === undefined) return null;
          return html`<circle key=${hash} cx=${place.x} cy=${place.y} r="7" class=${ours ? 'ours' : ''}>
            <title>${`${short(hash)}${ours ? ', ours' : ''}, pays ${address}`}</title></circle>`;
        })}
      </svg>
    </div>
    <${Facts} rows=${[
      ['Own beads confirmed', grouped(shares.confirmed)],
      [
        'Pay another address',
        shares.wrong_payout === 0 ? '0' : html`<${Mark} tone="bad">${grouped(shares.wrong_payout)}<//>`,
      ],
      ['Missing', shares.missing === 0 ? '0' : html`<${Mark} tone="warn">${grouped(shares.missing)}<//>`],
      ['Waiting', grouped(shares.pending)],
      ['Beads, cohorts, orphans', `${grouped(beads)}, ${grouped(cohorts)}, ${grouped(orphans)}`],
      ['Work of the braid', work(total)],
    ]} />
  <//>`;
}
