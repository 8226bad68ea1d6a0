import { systemClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import { systemTimers } from '../base/system-timers.ts';
import type { Signer } from '../channel/signer.ts';
import type { MakerConfig, ProxyConfig } from '../config/config.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { AuditorLink } from '../settlement/auditor-link.ts';
import type { RequestFolder } from '../settlement/external-signing.ts';

/** The link to the auditor that the configuration names; nothing where it names none. */
export function auditorOf(
  { auditor, network }: Pick<ProxyConfig | MakerConfig, 'auditor' | 'network'>,
  undo: Pick<AsyncDisposableStack, 'defer'>,
  parts: {
    readonly ledger: Ledger;
    readonly signer: Signer;
    readonly requests: RequestFolder;
    readonly log: Logger;
  },
): { readonly auditor?: AuditorLink } {
  if (auditor === undefined) return {};
  const { log, ...others } = parts;
  const link = new AuditorLink(auditor, {
    ...{ ...others, network, log: log.child({ part: 'auditor' }) },
    ...{ clock: systemClock, timers: systemTimers, random: systemRandom },
  });
  undo.defer(() => link.close());
  return { auditor: link };
}
