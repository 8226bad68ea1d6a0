import { ActionButton } from './action.ts';
import { type Answer, ask } from './api.ts';
import { contractActions } from './contract-actions.ts';
import { grouped, hashrate, percent, price, sats, span, work } from './format.ts';
import { History, type Shown, type Span } from './history.ts';
import { html } from './html.ts';
import { usePolled } from './live.ts';
import { MoneyBar } from './money-bar.ts';
import { Card, Facts, Failed, Id, Mark, Notice, Sats, type Tone } from './parts.ts';
import { CHANNELS, STATES } from './words.ts';

type Status = Answer<'proxy', 'getStatus'>;
type Contract = Status['contracts'][number];
type Row = Answer<'proxy', 'listHistory'>;

const LIST_MS = 3_000;
const BLOCK_MS = 600_000;

/** What is sold, what was paid for it, and what can be done with it. */
export function ProxyContracts() {
  const status = usePolled((signal) => ask<Status>('/status?miners=0', signal), LIST_MS);
  if (status.value === undefined) return html`<${Failed} error=${status.error} />`;
  const { contracts, metering, finished_contracts: finished, chain } = status.value;
  const height = chain?.height ?? undefined;
  return html`
    ${contracts.length === 0 && html`<${NoContract} isMetering=${metering !== null} />`}
    ${contracts.map(
      (contract) => html`<${ContractCard} key=${contract.id} contract=${contract} height=${height}
        rate=${rateFor(contract, status.value!)} again=${status.again} />`,
    )}
    ${contracts.length > 0 && html`<${Delivered} contracts=${contracts} />`}
    ${
      metering !== null &&
      html`<${Card} title="Metered, without money">
        <${Facts} rows=${[
          ['Contract', html`<${Id} value=${metering.contract_id} label="its id" />`],
          ['State', metering.status],
          ['Verified', `${work(metering.verified_work_hashes)} of ${work(metering.work_total_hashes)}`],
          ['Signed by both', work(metering.signed_work_hashes)],
        ]} />
      <//>`
    }
    ${
      finished.length > 0 &&
      html`<${Card} title="Over">
        <ul class="plain">${finished.map(
          ({ name, contract_id: id, reason }) => html`<li key=${id}><strong>${name}</strong>: ${reason}
            <${Id} value=${id} label="its id" /></li>`,
        )}</ul>
      <//>`
    }
  `;
}

/** Hashrate of the moment for one contract: all of it, where there is one. */
function rateFor(contract: Contract, { contracts, hashrate: all }: Status): number | undefined {
  const live = contracts.filter((each) => each.live);
  return live.length === 1 && live[0]!.id === contract.id ? all.hashes_per_second : undefined;
}

function NoContract({ isMetering }: { isMetering: boolean }) {
  return html`<${Notice} title=${isMetering ? 'No contract with money' : 'Nothing is sold yet'}>
    Hashrate goes to the own pools. To sell it, set <code>[sell]</code> and the makers in the configuration:
    what they pay, and taking it, is under <a href="#/market">Market</a>.
  <//>`;
}

function toneOf({ channel, live, connected }: Contract): Tone {
  if (channel.state === 'failed') return 'bad';
  if (channel.state === 'closed') return 'idle';
  return live && connected ? 'good' : 'warn';
}

type CardProps = {
  contract: Contract;
  height: number | undefined;
  rate: number | undefined;
  again: () => void;
};

function ContractCard({ contract, height, rate, again }: CardProps) {
  const { name, id, channel, state } = contract;
  const words = `${STATES[state] ?? state}; its channel ${CHANNELS[channel.state] ?? channel.state}`;
  const aside = html`<${Mark} tone=${toneOf(contract)}>${words}<//>`;
  const [tone, isThere] = contract.connected ? ['good', 'connected'] : ['warn', 'away'];
  return html`<${Card} title=${name} aside=${aside}>
    <p class="terms">${termsOf(contract)}</p>
    <${MoneyBar} money=${{
      settled: channel.settled_sat,
      signed: channel.signed_sat,
      accrued: channel.accrued_sat,
      unspent: channel.unspent_sat,
    }} />
    <${Progress} contract=${contract} />
    <${Facts} rows=${[
      ['Runway, at this rate', runwayOf(contract, rate)],
      ['State number', grouped(channel.state_number)],
      ['Closes by itself', closesIn(contract.closes_from_height, height)],
      ['Expires', `block ${grouped(channel.expiry_height)}`],
      ['Step', `${work(contract.step_hashes)} of verified work`],
      ['Market maker', html`<${Mark} tone=${tone}>${isThere}<//>`],
      ['Contract', html`<${Id} value=${id} label="the id of the contract" />`],
      channel.funding_txid === null
        ? undefined
        : ['Funding', html`<${Id} value=${channel.funding_txid} label="the id of the funding" />`],
      channel.close_txid === null
        ? undefined
        : [
            'Close',
            html`<${Id} value=${channel.close_txid} label="the id of the close" /> ${grouped(channel.close_confirmations)} deep`,
          ],
      contract.auditor === null
        ? undefined
        : ['Auditor', contract.auditor.words ?? contract.auditor.verdict ?? 'is told'],
    ]} />
    ${contract.delivery !== null && html`<${Faults} delivery=${contract.delivery} />`}
    <${Notices} contract=${contract} />
    <div class="line">
      ${contractActions(contract).map(
        (spec) => html`<${ActionButton} key=${spec.path} spec=${spec} onDone=${again} />`,
      )}
    </div>
  <//>`;
}

/** The terms in a sentence. */
function termsOf(contract: Contract): string {
  const {
    rate_hashes_per_second: rate,
    price_msat_per_eh,
    work_total_hashes: total,
    step_hashes: step,
  } = contract;
  const what = rate === null ? work(total) : `${hashrate(Number(rate))}, ${work(total)} in all`;
  const until = `until block ${grouped(contract.channel.expiry_height)} at the latest`;
  return `${what} at ${price(price_msat_per_eh)}, paid after each ${work(step)}, ${until}; at most ${sats(contract.channel.budget_sat)}.`;
}

function Progress({ contract: { work_hashes: done, work_total_hashes: total } }: { contract: Contract }) {
  const ratio = Number(total) === 0 ? 0 : Number(done) / Number(total);
  return html`<div class="progress">
    <progress max="1" value=${ratio} aria-label="work delivered"></progress>
    <span class="number">${work(done)} of ${work(total)} delivered (${percent(ratio)})</span>
  </div>`;
}

function runwayOf(
  { work_hashes: done, work_total_hashes: total, live }: Contract,
  rate: number | undefined,
): string {
  const left = Number(total) - Number(done);
  if (left <= 0) return 'all is delivered';
  if (!live || rate === undefined || rate <= 0) return '–';
  return span((left / rate) * 1000);
}

function closesIn(from: number, height: number | undefined): string {
  if (height === undefined) return `from block ${grouped(from)}`;
  const blocks = from - height;
  if (blocks <= 0) return 'now';
  return `in ${grouped(blocks)} blocks, about ${span(blocks * BLOCK_MS)}`;
}

/** Minutes of the contract by whose fault nothing came, as both have signed. */
function Faults({ delivery }: { delivery: NonNullable<Contract['delivery']> }) {
  const minutes = Object.entries(delivery.minutes);
  const total = minutes.reduce((sum, [, count]) => sum + count, 0);
  const said = minutes.map(([name, count]) => `${name} ${count}`).join(', ') || 'no minute yet';
  return html`<div class="faults">
    <h3>Minutes, by whose fault they were</h3>
    <div class="bar" role="img" aria-label=${said}>
      ${minutes
        .filter(([, count]) => count > 0)
        .map(([name, count]) => html`<span class=${`fault-${name}`} style=${{ flexGrow: count }}></span>`)}
    </div>
    <p class="note">${minutes.map(([name, count]) => `${name}: ${grouped(count)}`).join(' · ')}
      ${total === 0 ? '' : ` · to be made up: ${work(delivery.missing_hashes)}`}
      · delivery is ${delivery.agreed}</p>
  </div>`;
}

function Notices({
  contract: { notices, disputed_commitment: disputed, unpaid_job: unpaid },
}: {
  contract: Contract;
}) {
  const pauses = Object.entries(notices.pauses).map(
    ([side, pause]) => `${side} pauses from block ${grouped(pause!.from_height)}: ${pause!.reason}`,
  );
  const ends = Object.entries(notices.ends).map(
    ([side, end]) => `${side} ends it at block ${grouped(end!.height)}`,
  );
  const all = [
    ...pauses,
    ...ends,
    ...(unpaid === null ? [] : [`its job would not be paid: ${unpaid}`]),
    ...(disputed === null ? [] : [`commitment ${disputed.n} is disputed: ${disputed.why}`]),
  ];
  if (all.length === 0) return null;
  return html`<ul class="plain">
    ${all.map((text) => html`<li key=${text}><${Mark} tone="warn">${text}<//></li>`)}
  </ul>`;
}

/** What came against what is due, and what was signed for it. */
function Delivered({ contracts }: { contracts: readonly Contract[] }) {
  const due = contracts.reduce((sum, { rate_hashes_per_second: rate }) => sum + Number(rate ?? 0), 0);
  const signed = contracts.reduce((sum, { channel }) => sum + BigInt(channel.paid_sat), 0n);
  const lines = (span: Span): readonly Shown<Row>[] => [
    {
      ...{ name: 'delivered', tone: 1, isFilled: true },
      of: (row) => (span === '6 h' ? row.hashes_per_second_5m : row.hashes_per_second_1h),
    },
    ...(due > 0 ? [{ name: 'due', tone: 2, of: () => due } as const] : []),
  ];
  return html`<div class="columns">
    <${History} title=${due > 0 ? 'Delivered against due' : 'Delivered'} label="delivered"
      lines=${lines} format=${hashrate} />
    <${History} title="Signed" label="signed" lines=${() => SIGNED} format=${grouped}>
      <p class="note">sats of the contracts that run; now <${Sats} value=${signed} /></p>
    <//>
  </div>`;
}

const SIGNED: readonly Shown<Row>[] = [
  { name: 'signed', tone: 3, isFilled: true, of: (row) => Number(row.signed_sat) },
];
