import { type Answer, ask } from './api.ts';
import { Figure } from './figure.ts';
import { html } from './html.ts';
import { usePolled } from './live.ts';
import { Card, Facts, Failed, Id } from './parts.ts';

type Status = Answer<'auditor', 'getStatus'>;

export function AuditorSystem() {
  const { value, error } = usePolled((signal) => ask<Status>('/status', signal), 5_000);
  if (value === undefined) return html`<${Failed} error=${error} />`;
  const { stats } = value;
  return html`<div class="columns">
    <${Card} title="Program"><${Facts} rows=${[
      ['Version', value.version],
      ['Network', value.network],
      ['Node id', html`<${Id} value=${value.node_id} label="node id" />`],
      ['Key that terms name', html`<${Id} value=${value.auditor_key} label="auditor's key" />`],
    ]} /><//>
    <${Card} title="Since the start"><${Facts} rows=${[
      ['Connections of sides', html`<${Figure} of="status.connections" value=${value.connections} />`],
      ['Minutes taken', html`<${Figure} of="status.minutes" value=${stats.minutes} />`],
      ['Bonds signed away', html`<${Figure} of="status.signed" value=${stats.signed} />`],
      ['Refused to sign', html`<${Figure} of="status.refused" value=${stats.refused} />`],
    ]} />
    <p class="quiet">An auditor holds no money and moves none alone: two of three keys spend a bond.</p><//>
  </div>`;
}
