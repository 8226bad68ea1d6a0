import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../e2e/evidence.ts';
import { ROOT } from '../source-tree.ts';
import { buildImage, dockerfile, type Image } from './dockerfile.ts';
import { NODE_PATH, Place } from './installed.ts';

const MAIN = join(ROOT, 'src/main.ts');
const PATIENCE_MS = 180_000;

const configuration = (pool: string): string => `network = "regtest"
[stratum]
listen = "127.0.0.1:0"
difficulty = { mode = "fixed", start = 0.000030517578125, min = 0.000030517578125 }
[[destination]]
name = "pool"
url = "${pool}"
worker = "farm"
[metrics]
listen = "127.0.0.1:0"
`;

describe('the container image', () => {
  const place = new Place();
  const started: ChildProcess[] = [];
  let image: Image;

  beforeAll(async () => {
    image = await buildImage(dockerfile(), {
      folder: join(place.folder, 'stages'),
      run: async (line, cwd, env) => {
        const words = Object.entries(env).map(([name, value]) => `${name}=${value}`);
        await place.run('env', [...words, 'sh', '-c', line], { path: NODE_PATH, cwd });
      },
    });
  });

  afterAll(async () => {
    for (const child of started) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    place.remove();
  });

  /** Starts a program; what it says is looked for by `sayings`. */
  function start(words: readonly string[], env: Readonly<Record<string, string>>, cwd: string) {
    const all = { ...place.env(NODE_PATH), ...env };
    const child = spawn(process.execPath, [...words], {
      cwd,
      env: all,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    started.push(child);
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    return (words: RegExp) => until(String(words), async () => words.exec(said)?.[1], PATIENCE_MS);
  }

  it('has the built program and its packages, and nothing that only a build needs', () => {
    const inImage = (path: string): string => join(image.root, image.workdir, path);
    for (const path of ['dist/main.js', 'package.json', 'LICENSE', 'node_modules/bitcoinjs-lib'])
      expect(existsSync(inImage(path)), path).toBe(true);
    for (const path of [
      'src',
      'test',
      'node_modules/typescript',
      'node_modules/vitest',
      'node_modules/node',
    ])
      expect(existsSync(inImage(path)), path).toBe(false);
  });

  it('mines with it, to a share that was accepted, and is healthy', async () => {
    const workdir = join(image.root, image.workdir);
    const anyPorts = ['chain', 'node', 'node-rpc', 'pool'].flatMap((name) => [`--${name}-port`, '0']);
    const pool = await start([MAIN, 'devnet', ...anyPorts], {}, place.folder)(/^pool +(\S+)$/m);
    const config = join(place.folder, 'proxy.toml');
    writeFileSync(config, configuration(pool));

    const [program, main, ...rest] = [...image.entrypoint, 'proxy', '--config', config];
    expect(program).toBe('node');
    const saying = start([join(workdir, main!), ...rest], image.env, workdir);
    const http = await saying(/"http":"([^"]+)"/);
    start([MAIN, 'devnet', 'asics', await saying(/"stratum":"([^"]+)"/)], {}, place.folder);
    const metric = /^sharestream_shares_accepted_total(?:\{.*\})? ([1-9]\d*)$/m;
    const metrics = async () => (await fetch(`http://${http}/metrics`)).text();
    await until('a share', async () => metric.exec(await metrics())?.[1], PATIENCE_MS);

    const [checker, ...words] = image.healthcheck;
    expect(checker).toBe('node');
    const listen = (at: string) => [`SHARESTREAM_METRICS__LISTEN=${at}`, process.execPath, ...words];
    await place.run('env', listen(http));
    await expect(place.run('env', listen('127.0.0.1:1'))).rejects.toThrow('Command failed');
  });
});
