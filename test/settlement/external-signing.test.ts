import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Psbt } from 'bitcoinjs-lib';
import { afterAll, describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { refundRequest } from '../../src/channel/signing-requests.ts';
import { silentLogger } from '../../src/log/logger.ts';
import {
  type ExternalSigning,
  fileExternalSigning,
  requestExternalSignature,
} from '../../src/settlement/external-signing.ts';
import { REQUEST_KIND, requestId } from '../../src/settlement/records.ts';
import { code, makerSigner } from '../channel/fixtures.ts';
import { params } from '../channel/psbt-fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const root = mkdtempSync(join(tmpdir(), 'external-signing-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const newFolder = (): string => mkdtempSync(join(root, 'case-'));

describe('a folder of signing requests', () => {
  it('is made with the first request, for its owner alone, and has the request as it was made', () => {
    const folder = join(newFolder(), 'new');
    const signing = fileExternalSigning(folder);
    expect(signing.open('c.refund')).toEqual([]);
    signing.ask('c.refund', 5000, 'cHNidA==');
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(readdirSync(folder)).toEqual(['c.refund.5000.psbt']);
    expect(readFileSync(join(folder, 'c.refund.5000.psbt'), 'utf8')).toBe('cHNidA==\n');
    expect(statSync(join(folder, 'c.refund.5000.psbt')).mode & 0o777).toBe(0o600);
    writeFileSync(join(folder, 'a file of another'), '');
    expect(signing.open('c.refund')).toStrictEqual([{ satPerKvb: 5000 }]);
  });

  it('gives the answer of exactly this request, once it is there', () => {
    const folder = newFolder();
    const signing = fileExternalSigning(folder);
    signing.ask('c.refund', 5000, 'x');
    // Answers of other names, of another rate, and files that are neither.
    for (const name of ['c.refund.5001.signed.psbt', 'd.refund.5000.signed.psbt', 'c.refund.signed.psbt']) {
      writeFileSync(join(folder, name), 'other');
    }
    expect(signing.open('c.refund')).toStrictEqual([{ satPerKvb: 5000 }]);
    writeFileSync(join(folder, 'c.refund.5000.signed.psbt'), 'signed');
    expect(signing.open('c.refund')).toStrictEqual([{ satPerKvb: 5000, signed: 'signed' }]);
  });

  it('takes no file for a request whose name has more before, behind, or a rate that none has', () => {
    for (const name of ['xc.refund.5000.psbt', 'c.refund.5000.psbt.bak', 'c.refund.50.psbt']) {
      const folder = newFolder();
      writeFileSync(join(folder, name), 'x');
      expect(fileExternalSigning(folder).open('c.refund'), name).toEqual([]);
    }
    for (const rate of ['500', '10000000']) {
      const folder = newFolder();
      writeFileSync(join(folder, `c.refund.${rate}.psbt`), 'x');
      expect(fileExternalSigning(folder).open('c.refund')).toEqual([{ satPerKvb: Number(rate) }]);
    }
  });

  it('that cannot be read is an error, and no empty folder', () => {
    const file = join(newFolder(), 'file');
    writeFileSync(file, '');
    expect(code(() => fileExternalSigning(file).open('c.refund'))).toBe('bad_psbt');
    const folder = newFolder();
    fileExternalSigning(folder).ask('c.refund', 5000, 'x');
    mkdirSync(join(folder, 'c.refund.5000.signed.psbt'));
    expect(code(() => fileExternalSigning(folder).open('c.refund'))).toBe('bad_psbt');
    chmodSync(folder, 0o700);
  });
});

describe('a signature from elsewhere', () => {
  const CONTRACT = params.contractId;

  function stage(externalSigning?: ExternalSigning) {
    const ledger = new MemoryLedger();
    const ask = (satPerKvb: number, mostSatPerKvb?: number) =>
      requestExternalSignature(
        {
          contractId: CONTRACT,
          what: 'refund',
          satPerKvb,
          ...(mostSatPerKvb === undefined ? {} : { mostSatPerKvb }),
          request: (rate) => refundRequest(params, rate),
          holder: makerSigner,
          finish: (rate, signed) => {
            if (signed === 'bad') throw new CodedError('bad_psbt');
            return { satPerKvb: rate, signed };
          },
        },
        { ledger, log: silentLogger, ...(externalSigning === undefined ? {} : { externalSigning }) },
      );
    return { ask, stored: () => ledger.get(REQUEST_KIND, requestId(CONTRACT, 'refund')) };
  }

  it('is asked for once, in ledger and folder, at the rate of then, and taken with that rate', async () => {
    const folder = newFolder();
    const { ask, stored } = stage(fileExternalSigning(folder));
    expect(await ask(5000)).toBeUndefined();
    const [file, ...others] = readdirSync(folder);
    expect([file, others]).toEqual([`${CONTRACT}.refund.5000.psbt`, []]);
    const text = readFileSync(join(folder, file!), 'utf8');
    expect(await stored()).toContain(text.trim());
    // It says where the key is.
    expect(Psbt.fromBase64(text).data.inputs[0]!.bip32Derivation).toHaveLength(1);
    expect(await ask(9000)).toBeUndefined();
    expect(readdirSync(folder)).toEqual([file]);
    writeFileSync(join(folder, file!.replace('.psbt', '.signed.psbt')), 'signed');
    expect(await ask(9000)).toEqual({ satPerKvb: 5000, signed: 'signed' });
  });

  it('is asked for at rising rates up to the most, and the lowest that is enough is taken', async () => {
    const folder = newFolder();
    const { ask } = stage(fileExternalSigning(folder));
    const asked = () => readdirSync(folder).flatMap((name) => /refund\.(\d+)\.psbt$/.exec(name)?.[1] ?? []);
    const sign = (rate: number, text = 'signed') =>
      writeFileSync(join(folder, `${CONTRACT}.refund.${rate}.signed.psbt`), text);
    expect(await ask(1_000, 20_000)).toBeUndefined();
    expect(asked().sort()).toEqual(['1000', '16000', '2000', '20000', '4000', '8000']);
    // Only one was signed: it leaves, also where more is wanted, or less.
    sign(2_000);
    for (const rate of [500, 1_000, 2_000, 9_000])
      expect(await ask(rate, 20_000)).toEqual({ satPerKvb: 2_000, signed: 'signed' });
    for (const rate of [1_000, 4_000, 16_000]) sign(rate);
    expect(await ask(1_001, 20_000)).toMatchObject({ satPerKvb: 2_000 });
    expect(await ask(4_000, 20_000)).toMatchObject({ satPerKvb: 4_000 });
    expect(await ask(19_000, 20_000)).toMatchObject({ satPerKvb: 16_000 });
    expect(asked()).toHaveLength(6);
    // An answer that is none is passed over.
    sign(8_000, 'bad');
    expect(await ask(7_000, 20_000)).toMatchObject({ satPerKvb: 16_000 });
    // Above all that was asked for: the next ones.
    expect(await ask(30_000, 50_000)).toMatchObject({ satPerKvb: 16_000 });
    expect(asked().length).toBe(8);
  });

  it('is asked for again where the request was removed from the folder', async () => {
    const folder = newFolder();
    const { ask } = stage(fileExternalSigning(folder));
    await ask(5000);
    rmSync(join(folder, `${CONTRACT}.refund.5000.psbt`));
    await ask(9000);
    expect(readdirSync(folder)).toEqual([`${CONTRACT}.refund.9000.psbt`]);
  });

  it('is asked for in the ledger alone where there is no folder, once', async () => {
    const { ask, stored } = stage();
    expect(await ask(5000)).toBeUndefined();
    const first = await stored();
    expect(first).toBeDefined();
    expect(await ask(9000)).toBeUndefined();
    expect(await stored()).toBe(first);
  });
});
