import { type Alert, alertsOf } from './alerts.ts';
import { type Answer, ask } from './api.ts';
import { ago, grouped, hashrate, percent, sats, words } from './format.ts';
import { History, type Span, useHistory } from './history.ts';
import { html } from './html.ts';
import { useLive, useNow, usePolled } from './live.ts';
import { Card, Facts, Failed, Mark, Notice, Sats, Tile, Waiting } from './parts.ts';
import { ProxyTimeline } from './timeline.ts';
import { REJECTS } from './words.ts';

type Sample = Answer<'proxy', 'followEvents'>;
type Status = Answer<'proxy', 'getStatus'>;
type Row = Answer<'proxy', 'listHistory'>;

const STATUS_MS = 5_000;
const FIVE_MINUTES_MS = 300_000;

/** Is it paying, are the machines well, and what is to be done. */
export function ProxyNow() {
  const sample = useLive().sample as Sample | undefined;
  const status = usePolled((signal) => ask<Status>('/status?miners=0', signal), STATUS_MS);
  const history = useHistory<Row>();
  if (sample === undefined) return html`<${Waiting} />`;
  const rows = history.value ?? [];
  return html`
    ${status.value !== undefined && html`<${Alerts} alerts=${alertsOf(status.value)} />`}
    <div class="tiles">
      <${Delivered} sample=${sample} rows=${rows} />
      <${Miners} sample=${sample} rows=${rows} />
      <${Accepted} sample=${sample} rejected=${status.value?.shares.rejected} />
      <${Earned} sample=${sample} contracts=${status.value?.contracts ?? []} />
    </div>
    ${
      status.value === undefined
        ? html`<${Failed} error=${status.error} />`
        : html`<${Strip} status=${status.value} />`
    }
    <${History} title="Hashrate" label="hashrate" format=${hashrate} lines=${ratesOver} />
    <${ProxyTimeline} />
    ${status.value !== undefined && html`<${Rejects} rejected=${status.value.shares.rejected} />`}
  `;
}

const overFive = { name: 'over 5 minutes', of: (row: Row) => row.hashes_per_second_5m } as const;
const overHour = { name: 'over an hour', of: (row: Row) => row.hashes_per_second_1h } as const;
const overDay = { name: 'over a day', of: (row: Row) => row.hashes_per_second_24h } as const;

function ratesOver(span: Span) {
  const [shorter, longer] = span === '6 h' ? [overFive, overHour] : [overHour, overDay];
  return [
    { ...shorter, tone: 1, isFilled: true },
    { ...longer, tone: 2 },
  ] as const;
}

function Alerts({ alerts }: { alerts: readonly Alert[] }) {
  if (alerts.length === 0)
    return html`<${Notice} tone="good" title="All is well: nothing is to be done." />`;
  return html`<div class="stack">
    ${alerts.map(
      ({ tone, title, todo }) => html`<${Notice} key=${title} tone=${tone} title=${title}>${todo}<//>`,
    )}
  </div>`;
}

/** Shares that a rate is made of say how far it may be off: one part in the root of their count. */
function Delivered({ sample, rows }: { sample: Sample; rows: readonly Row[] }) {
  const since = rows.find(({ at_ms }) => at_ms >= Date.now() - FIVE_MINUTES_MS);
  const shares = sample.shares_accepted - (since?.shares_accepted ?? 0);
  const off = shares > 0 ? ` ± ${percent(1 / Math.sqrt(shares), shares > 10_000 ? 1 : 0)}` : '';
  const longer = [
    ['1 h', sample.hashes_per_second_1h],
    ['24 h', sample.hashes_per_second_24h],
  ] as const;
  return html`<${Tile} name="Delivered" value=${hashrate(sample.hashes_per_second_5m)}
    note=${`over 5 min${off}`}>
    ${longer.map(
      ([name, rate]) => html`<p key=${name} class="note pair">
        <span>${name}</span> <span class="number">${hashrate(rate)}</span></p>`,
    )}
  <//>`;
}

function Miners({ sample: { sessions }, rows }: { sample: Sample; rows: readonly Row[] }) {
  const most = rows.reduce((all, row) => Math.max(all, row.sessions), sessions);
  const gone = most - sessions;
  return html`<${Tile} name="Miners online" value=${grouped(sessions)} tone=${gone > 0 ? 'warn' : undefined}
    note=${gone > 0 ? `${grouped(gone)} fewer than at most in six hours` : 'none is missing'}>
    <p class="note"><a href="#/miners">every miner</a></p>
  <//>`;
}

function Accepted(props: { sample: Sample; rejected: Status['shares']['rejected'] | undefined }) {
  const { shares_accepted: accepted, shares_submitted: submitted } = props.sample;
  const reasons = Object.entries(props.rejected ?? {}).filter(([, count]) => count > 0);
  const [worst] = reasons.toSorted(([, a], [, b]) => b - a);
  const refused = reasons.reduce((sum, [, count]) => sum + count, 0);
  const judged = accepted + refused;
  const ratio = judged === 0 ? Number.NaN : accepted / judged;
  return html`<${Tile} name="Accepted" value=${judged === 0 ? '–' : percent(ratio, 2)}
    note=${`${grouped(accepted)} of ${grouped(submitted)} shares`}>
    <div class="ratio" role="img" aria-label=${`${grouped(accepted)} accepted, ${grouped(refused)} rejected`}>
      ${accepted > 0 && html`<span class="good" style=${{ flexGrow: accepted }}></span>`}
      ${refused > 0 && html`<span class="bad" style=${{ flexGrow: refused }}></span>`}
    </div>
    ${worst !== undefined && html`<p class="note">most: ${words(worst[0])}, ${grouped(worst[1])}</p>`}
  <//>`;
}

/** What was earned since the last state, going on at the rate of the moment until the daemon tells. */
function Earned({ sample, contracts }: { sample: Sample; contracts: Status['contracts'] }) {
  const now = useNow();
  const { asOfMs } = useLive();
  const running = contracts.filter(({ live }) => live);
  const satPerSecond = running.reduce(
    (sum, { price_msat_per_eh: price }) => sum + (Number(price) / 1e21) * sample.hashes_per_second_1m,
    0,
  );
  const ahead = running.length === 0 ? 0 : satPerSecond * Math.min(5, Math.max(0, (now - asOfMs) / 1000));
  const due = BigInt(sample.exposure_sat) + BigInt(Math.floor(running.length === 1 ? ahead : 0));
  const paid = contracts.reduce((sum, { channel }) => sum + BigInt(channel.paid_sat), 0n);
  return html`<${Tile} name="Earned this interval" value=${sats(due)} note="delivered, not signed for yet">
    <p class="note pair"><span>signed so far</span> <${Sats} value=${paid} /></p>
    ${
      satPerSecond > 0 &&
      html`<p class="note pair"><span>per day, at this rate</span>
        <${Sats} value=${BigInt(Math.round(satPerSecond * 86_400))} /></p>`
    }
  <//>`;
}

/** Where work comes from, where the chain stands, and what is signed next. */
function Strip({ status }: { status: Status }) {
  const now = useNow();
  const { destinations, chain, contracts, braidpool } = status;
  const current = destinations.find(({ name }) => name === status.destination) ?? destinations[0];
  const next = contracts.find(({ live }) => live);
  return html`<${Card} class="strip">
    <${Facts} rows=${[
      [
        'Work from',
        current === undefined || status.destination === 'none'
          ? html`<${Mark} tone="bad">nowhere<//>`
          : html`<${Mark} tone=${current.up ? 'good' : 'bad'}>${status.destination} ${current.up ? '' : 'is down'}<//>`,
      ],
      [
        'Last job',
        current === undefined || current.job_age_ms === null ? '–' : ago(now - current.job_age_ms, now),
      ],
      [
        'Round trip',
        current?.rtt_ms === null || current === undefined ? '–' : `${current.rtt_ms.toFixed(0)} ms`,
      ],
      [
        'Block height',
        chain === null || chain.height === null ? 'no node is asked' : grouped(chain.height),
      ],
      next === undefined
        ? undefined
        : ['Next state', nextState(next, current?.hashrate.hashes_per_second ?? 0)],
      ['Blocks found', grouped(status.blocks_found)],
      braidpool[0] === undefined ? undefined : ['Beads confirmed', grouped(braidpool[0].shares.confirmed)],
    ]} />
  <//>`;
}

/** When a whole step will be delivered, at the rate of the moment. */
function nextState(contract: Status['contracts'][number], rate: number): string {
  const step = Number(contract.step_hashes);
  const missing = step - (Number(contract.exposure_hashes) % step);
  if (rate <= 0) return 'when work comes';
  const seconds = missing / rate;
  return seconds < 1 ? 'within a second' : `in about ${ago(0.1, seconds * 1000).replace(' ago', '')}`;
}

/** Every reason for which shares were rejected, with what it means and what to do. */
function Rejects({ rejected }: { rejected: Status['shares']['rejected'] }) {
  const rows = Object.entries(rejected)
    .filter(([, count]) => count > 0)
    .toSorted(([, a], [, b]) => b - a);
  if (rows.length === 0) return null;
  return html`<${Card} title="Rejected shares">
    <ul class="reasons">
      ${rows.map(
        ([code, count]) => html`<li key=${code}>
          <span class="number">${grouped(count)}</span>
          <div><strong>${words(code)}</strong>: ${REJECTS[code]?.says ?? 'see the log'}.
            <small>${REJECTS[code]?.todo}</small></div>
        </li>`,
      )}
    </ul>
  <//>`;
}
