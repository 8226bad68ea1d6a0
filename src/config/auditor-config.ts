import type { AUDITOR_OPTIONS } from './auditor-options.ts';
import { type Context, commonOf } from './common-config.ts';
import type { AuditorConfig, AuditorPlaceConfig } from './config.ts';
import type { Values } from './options.ts';
import type { HostPort } from './values.ts';

export function auditorConfigOf(values: Values<typeof AUDITOR_OPTIONS>, context: Context): AuditorConfig {
  const { peer, peers, metrics } = values;
  if (peer.listen.port === metrics.listen.port && peer.listen.port !== 0)
    context.refuse('metrics.listen', 'must be another port than peer.listen');
  return { ...commonOf(values, context), peer, peers: { allow: [...new Set(peers.allow)] } };
}

export type AuditorPlaceValues = {
  readonly address: HostPort | undefined;
  readonly nodeId: string | undefined;
  readonly key: string | undefined;
};

/** Undefined where none is named. */
export function auditorPlaceOf(
  { auditor }: { readonly auditor: AuditorPlaceValues },
  context: Context,
): AuditorPlaceConfig | undefined {
  const { address, nodeId, key: keyHex } = auditor;
  if (address === undefined && nodeId === undefined) {
    if (keyHex !== undefined) context.refuse('auditor.key', 'needs auditor.address and auditor.node_id');
    return undefined;
  }
  if (address === undefined) context.refuse('auditor.address', 'is missing: node_id alone says not where');
  if (nodeId === undefined)
    context.refuse('auditor.node_id', 'is missing: the auditor must prove who it is');
  if (address === undefined || nodeId === undefined) return undefined;
  return { ...address, nodeId, keyHex };
}
