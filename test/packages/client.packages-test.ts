import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { startMaker } from '../../src/daemon/maker.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { AllDaemons } from '../daemon/all-daemons.ts';
import { ROOT } from '../source-tree.ts';
import { NODE_PATH, Place } from './installed.ts';

const DAEMONS = ['proxy', 'maker', 'auditor', 'watch'] as const;
const GENERATOR = join(ROOT, 'node_modules/oazapfts/dist/cli.js');
const STRICT = {
  ...{ target: 'esnext', lib: ['esnext', 'dom', 'dom.iterable'], module: 'nodenext', types: ['node'] },
  ...{ noEmit: true, strict: true, noUncheckedIndexedAccess: true, allowImportingTsExtensions: true },
  ...{ verbatimModuleSyntax: true, erasableSyntaxOnly: true, skipLibCheck: true },
};

/** The clients, which lie beside the program. */
const CLIENTS = DAEMONS.map((name) => ['import * as', name, 'from', `'./${name}.ts';`].join(' ')).join(
  '\n',
);

/** What somebody writes who has nothing of ours but the documents. */
const PROGRAM = `
import { HttpError, ok } from '@oazapfts/runtime';
${CLIENTS}

const at = (daemon: string) => ({ baseUrl: \`\${process.env[daemon]}/api/v1\` });
const withToken = { ...at('proxy'), headers: { authorization: \`Bearer \${process.env['token']}\` } };

const status = await ok(proxy.getStatus({ miners: 0 }, at('proxy')));
const { items, next_cursor: next } = await ok(proxy.listContracts({ limit: 1 }, at('proxy')));
const [first] = items;
if (first === undefined) throw new Error('no contract');
const contract: string = first.id;
const same = await ok(proxy.getContract(contract, at('proxy')));
const minerCount = (await ok(proxy.listMiners({}, at('proxy')))).items.length;
const bought = await ok(maker.getContract(contract, at('maker')));
const book = await ok(maker.getBook(at('maker')));
const verified = BigInt(bought.verified_work_hashes);
const cases = (await ok(auditor.listContracts({}, at('auditor')))).items.length;
const channels = (await ok(watch.getStatus(at('watch')))).channels.length;

const pause = { contract, dry_run: true, reason: 'maintenance' } as const;
const paused = await ok(proxy.contractPause(pause, withToken));
let refused: unknown;
try {
  await ok(proxy.contractPause(pause, at('proxy')));
} catch (error) {
  if (error instanceof HttpError) refused = { status: error.status, code: error.data.error.code };
}
const system = [
  await ok(proxy.getSystem(at('proxy'))),
  await ok(maker.getSystem(at('maker'))),
  await ok(auditor.getSystem(at('auditor'))),
].map(({ listeners, checks }) => [listeners[0]?.name, checks.some(({ name }) => name === 'ledger')]);
console.log(
  JSON.stringify({
    ...{ role: status.role, version: status.version, contract, next, same: same.id === contract },
    ...{ minerCount, verified: verified > 0n, contracts: book.contracts.length, cases, channels },
    ...{ dryRun: paused.dry_run, refused, system },
  }),
);
`;

const daemons = new AllDaemons();
let stopMaker: () => Promise<void>;
beforeAll(async () => {
  stopMaker = await daemons.start();
  await daemons.comes('proxy', 'contract_state{state="live"}', 1);
  await daemons.comes('maker', 'channel_updates_total{result="signed"}', 2);
});
afterAll(() => daemons.close());

describe('a client that a public generator makes from the documents', () => {
  const place = new Place();
  const run = (words: readonly string[]): Promise<string> =>
    place.run(process.execPath, words, { path: NODE_PATH });
  const check = (): Promise<string> =>
    place.run(join(ROOT, 'node_modules/.bin/tsc'), ['-p', place.folder], { path: NODE_PATH });

  beforeAll(async () => {
    symlinkSync(join(ROOT, 'node_modules'), join(place.folder, 'node_modules'));
    writeFileSync(join(place.folder, 'package.json'), '{"type":"module"}');
    writeFileSync(
      join(place.folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: STRICT, include: ['*.ts'] }),
    );
    // From what the running daemon serves, as from the file, which is the same.
    for (const daemon of DAEMONS) {
      const served = join(place.folder, `${daemon}.json`);
      writeFileSync(served, await daemons.page(daemon, '/api/v1/openapi.json'));
      const file = JSON.parse(readFileSync(join(ROOT, `config/openapi/${daemon}.json`), 'utf8')) as object;
      expect(JSON.parse(readFileSync(served, 'utf8'))).toEqual(file);
      await run([GENERATOR, served, join(place.folder, `${daemon}.ts`)]);
    }
    writeFileSync(join(place.folder, 'use.ts'), PROGRAM);
  });
  afterAll(() => place.remove());

  it('has types that TypeScript checks, and that refuse what no answer has', async () => {
    expect(await check()).toBe('');
    const wrong = PROGRAM.replace('bought.verified_work_hashes', 'bought.verified_work');
    writeFileSync(join(place.folder, 'use.ts'), wrong);
    const said = await check().then(String, ({ stdout }: { readonly stdout: string }) => stdout);
    expect(said).toMatch(/use\.ts\(\d+,\d+\): error TS\d+: Property 'verified_work' does not exist/);
    writeFileSync(join(place.folder, 'use.ts'), PROGRAM);
  });

  it('asks running daemons, is refused without a token, and asks with one', async () => {
    const token = readFileSync(join(daemons.stage.proxy.dataDir, 'api-token'), 'utf8').trim();
    const env = [...daemons.urls, ['token', token]].map(([name, value]) => `${name}=${value}`);
    const said = await place.run('env', [...env, process.execPath, join(place.folder, 'use.ts')]);
    expect(JSON.parse(said)).toEqual({
      ...{
        role: 'proxy',
        version: expect.stringMatching(/^\d/),
        contract: expect.stringMatching(/^\w{64}$/),
      },
      ...{ next: null, same: true, minerCount: 1, verified: true, contracts: 1, cases: 0 },
      ...{ channels: 1, dryRun: true, refused: { status: 401, code: 'unauthorized' } },
      system: [
        ['stratum', true],
        ['peer', true],
        ['peer', true],
      ],
    });
  });
});

describe('a maker that is started with another node key', () => {
  it('is refused while its channel is open, and goes on with the key of before', async () => {
    const { configFile } = daemons.stage.maker;
    const startWith = async (nodeNumber: number): Promise<string> => {
      const env = { SHARESTREAM_KEYS__NODE_NUMBER: String(nodeNumber) };
      const maker = await startMaker(loadConfig('maker', { file: configFile, env }), silentLogger);
      await maker.close();
      return String(maker.ready['node_id']);
    };
    await stopMaker();
    await expect(startWith(1)).rejects.toMatchObject({ code: 'node_key_in_use' });
    expect(await startWith(0)).toMatch(/^[0-9a-f]{64}$/);
  });
});
