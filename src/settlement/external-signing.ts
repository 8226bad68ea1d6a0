import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError } from '../base/errors.ts';
import { writePrivateFile } from '../base/private-file.ts';
import { optional } from '../chain/source.ts';
import { exportPsbt, type KeyHolder } from '../channel/psbt.ts';
import type { SigningRequest } from '../channel/signing-requests.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { REQUEST_KIND, requestEntry, requestId, unstored } from './records.ts';

/** A request as it was made at one fee rate, with its answer once there is one. */
export type OpenedRequest = { readonly satPerKvb: number; readonly signed?: string };

/** A place for signing requests to keys that are not in the program, such as a vault's or an auditor's. */
export type ExternalSigning = {
  /** The requests made under a name, one for each fee rate. */
  open(name: string): readonly OpenedRequest[];
  ask(name: string, satPerKvb: number, psbt: string): void;
};

/** A request that waits for its answer. */
export type WaitingRequest = { readonly name: string; readonly satPerKvb: number; readonly psbt: string };

/** The same place, as whoever answers sees it. */
export type RequestFolder = ExternalSigning & {
  /** The requests without an answer whose names begin so. */
  waiting(prefix: string): readonly WaitingRequest[];
  answer(name: string, satPerKvb: number, signed: string): void;
};

/**
 * A folder for signing requests: the request is `<name>.<sat per kvB>.psbt`, its answer the same with
 * `.signed.psbt`. A request never changes; once removed, it is made again at the fee rate of then. Methods
 * throw `bad_psbt` for a file that cannot be read, `output_refused` for one that cannot be written.
 */
export function fileExternalSigning(folder: string): RequestFolder {
  return {
    open: (name) => {
      const names = listed(folder);
      return names.flatMap((file): OpenedRequest[] => {
        const rate = new RegExp(`^${name}\\.(\\d{3,8})\\.psbt$`).exec(file)?.[1];
        if (rate === undefined) return [];
        const answer = `${name}.${rate}.signed.psbt`;
        const signed = names.includes(answer) ? { signed: readText(join(folder, answer)) } : {};
        return [{ satPerKvb: Number(rate), ...signed }];
      });
    },
    ask: (name, satPerKvb, psbt) => {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      writePrivateFile(join(folder, `${name}.${satPerKvb}.psbt`), `${psbt}\n`);
    },
    waiting: (prefix) => {
      const names = listed(folder);
      return names.flatMap((file): WaitingRequest[] => {
        const [, name, rate] = /^(.+)\.(\d{3,8})\.psbt$/.exec(file) ?? [];
        if (name === undefined || !name.startsWith(prefix)) return [];
        if (names.includes(`${name}.${rate}.signed.psbt`)) return [];
        return [{ name, satPerKvb: Number(rate), psbt: readText(join(folder, file)).trim() }];
      });
    },
    answer: (name, satPerKvb, signed) =>
      writePrivateFile(join(folder, `${name}.${satPerKvb}.signed.psbt`), `${signed}\n`),
  };
}

function listed(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new CodedError('bad_psbt', `${folder} cannot be read`, {}, { cause });
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new CodedError('bad_psbt', `${path} cannot be read`, {}, { cause });
  }
}

/** A request for the signature of a key that is not in the program. */
export type ExternalSigningRequest<T> = {
  readonly contractId: string;
  /** Kind of the request, unique for the contract. */
  readonly what: string;
  /** Fee rate in sat/kvB that is wanted now. */
  readonly satPerKvb: number;
  /**
   * The highest fee rate that may ever be wanted: higher ones are asked for with the first, so that what
   * waits can pay more without another signature. Without it there is one request.
   */
  readonly mostSatPerKvb?: number;
  readonly request: (satPerKvb: number) => SigningRequest;
  /** Holder of the keys' origins. */
  readonly holder: KeyHolder;
  /** Makes of an answer what it is for. One with which it throws an error with a code is passed over. */
  readonly finish: (satPerKvb: number, signed: string) => T | Promise<T>;
};

export type SigningDeps = {
  readonly externalSigning?: ExternalSigning;
  readonly ledger: Ledger;
  readonly log: Logger;
};

/** The rates asked for at once, each so many times the one below: no bid is above twice what is wanted. */
const RUNGS = 6;
const RUNG_FACTOR = 2;

/**
 * Makes a signing request, and finishes an answer: of those that are signed the lowest that pays what is
 * wanted, else the highest. Undefined until there is one. The first call stores the request in the ledger,
 * and in the folder of requests where there is one; once more is wanted than was asked for, higher rates are
 * asked for.
 */
export async function requestExternalSignature<T>(
  asked: ExternalSigningRequest<T>,
  deps: SigningDeps,
): Promise<T | undefined> {
  const { contractId, what, satPerKvb, finish } = asked;
  const opened = deps.externalSigning?.open(`${contractId}.${what}`) ?? [];
  const rates = ratesToAsk(asked, opened);
  if (rates.length > 0) await askFor(asked, rates, deps);
  const rising = opened.toSorted((a, b) => a.satPerKvb - b.satPerKvb);
  const enough = rising.filter((each) => each.satPerKvb >= satPerKvb);
  const below = rising.filter((each) => each.satPerKvb < satPerKvb).toReversed();
  for (const { signed, satPerKvb: rate } of [...enough, ...below]) {
    const finished =
      signed === undefined
        ? undefined
        : await optional(
            async () => finish(rate, signed),
            ({ code, message: detail }) =>
              deps.log.error(
                { contract: contractId, what, rate, code, detail },
                'no answer to a signing request',
              ),
          );
    if (finished !== undefined) return finished;
  }
  return undefined;
}

/** The rates to be asked for now, lowest first: none where one that was asked for is enough. */
function ratesToAsk(
  { satPerKvb, mostSatPerKvb }: Pick<ExternalSigningRequest<unknown>, 'satPerKvb' | 'mostSatPerKvb'>,
  opened: readonly OpenedRequest[],
): readonly number[] {
  if (mostSatPerKvb === undefined) return opened.length === 0 ? [satPerKvb] : [];
  const top = Math.max(0, ...opened.map((each) => each.satPerKvb));
  if (top >= Math.min(satPerKvb, mostSatPerKvb)) return [];
  const wanted = Array.from({ length: RUNGS }, (_, rung) =>
    Math.min(Math.ceil(satPerKvb * RUNG_FACTOR ** rung), mostSatPerKvb),
  );
  return [...new Set(wanted)];
}

async function askFor(
  { contractId, what, request, holder }: ExternalSigningRequest<unknown>,
  rates: readonly number[],
  { externalSigning, ledger, log }: SigningDeps,
): Promise<void> {
  const onFailure = unstored(contractId, log);
  const known = await optional(() => ledger.get(REQUEST_KIND, requestId(contractId, what)), onFailure);
  if (known !== undefined && externalSigning === undefined) return;
  const psbts = rates.map((rate) => exportPsbt(request(rate), [holder]));
  await optional(() => ledger.appendNow([requestEntry(contractId, what, psbts[0]!)]), onFailure);
  for (const [index, rate] of rates.entries())
    externalSigning?.ask(`${contractId}.${what}`, rate, psbts[index]!);
  log.warn({ contract: contractId, what, rates }, 'a request waits to be signed elsewhere');
}
