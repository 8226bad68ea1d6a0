import { isSchnorrSignature } from '../channel/signer.ts';
import type { SignedLog } from '../contract/minute-ruling.ts';
import type { MinuteRole } from '../contract/minutes.ts';
import { SignedLogReader, verifierOf } from '../contract/signed-log.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Frame } from './frames.ts';
import { asEvidence, parseRecord } from './records.ts';

/** The minute logs of a file, of both sides as it shows them. */
export class MinuteAudit {
  readonly #readers: Readonly<Record<MinuteRole, SignedLogReader>>;

  constructor(contractId: string, { minerNodeId, makerNodeId }: ContractTerms) {
    const verify = verifierOf(isSchnorrSignature);
    this.#readers = {
      miner: new SignedLogReader(contractId, { role: 'miner', nodeIdHex: minerNodeId }, verify),
      maker: new SignedLogReader(contractId, { role: 'maker', nodeIdHex: makerNodeId }, verify),
    };
  }

  /** Takes an hour of either log. Throws `bad_evidence`. */
  take(frame: Frame): void {
    const { role, reports, signature } = parseRecord('minutes', frame);
    asEvidence('minute log', () => this.#readers[role].take(reports, signature));
  }

  /** Both logs as far as their sides signed them. @param teller whose file it is */
  logs(teller: MinuteRole): readonly SignedLog[] {
    return (['miner', 'maker'] as const).map((role) => {
      return { role, teller, reports: this.#readers[role].signed };
    });
  }
}
