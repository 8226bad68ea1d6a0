import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { watchCommand } from '../../src/cli/watch.ts';
import { type ConfigOf, loadConfig, optionsOf } from '../../src/config/load.ts';
import { envName, flatRows } from '../../src/config/options.ts';
import { parseYaml, type Yaml } from './yaml.ts';

const ROOT = new URL('../../', import.meta.url);
const folder = mkdtempSync(join(tmpdir(), 'files-'));
afterAll(() => rmSync(folder, { recursive: true }));

function read(path: string): string {
  return readFileSync(new URL(path, ROOT), 'utf8');
}

/** The value at a path of keys and indexes. */
function at(value: Yaml, ...path: (string | number)[]): Yaml {
  let here: Yaml = value;
  for (const key of path) {
    if (typeof here === 'string') throw new Error(`${path.join('.')}: ${here} has no ${key}`);
    const next = (here as { readonly [key: string]: Yaml })[key];
    if (next === undefined) throw new Error(`${path.join('.')}: no ${key}`);
    here = next;
  }
  return here;
}

type Env = Readonly<Record<string, string>>;

/** The configuration that a service of a compose file is started with; all its variables are options. */
function configOf<R extends 'proxy' | 'maker'>(
  role: R,
  service: Yaml,
  given: Env,
  file?: string,
): ConfigOf<R> {
  const environment = at(service, 'environment') as Env;
  const known = flatRows(optionsOf(role)).map(({ path }) => envName(path));
  for (const name of Object.keys(environment)) expect(known).toContain(name);
  const env = Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [name, filledIn(value, given)]),
  );
  const secret = join(mkdtempSync(join(folder, 'secret-')), 'password');
  writeFileSync(secret, 'x', { mode: 0o600 });
  const name = 'SHARESTREAM_CHAIN__PASSWORD_FILE';
  const secrets = name in env ? { [name]: secret } : {};
  return loadConfig(role, {
    env: { ...env, ...secrets },
    ...(file === undefined ? {} : { file: fileURLToPath(new URL(file, ROOT)) }),
  });
}

function filledIn(value: string, given: Env): string {
  return value.replace(
    /\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}/g,
    (_all, variable: string, fallback: string | undefined) => given[variable] ?? fallback ?? '',
  );
}

describe.each(['proxy', 'maker', 'auditor'] as const)('config/%s.example.toml', (role) => {
  it('loads as it is', () => {
    const file = fileURLToPath(new URL(`config/${role}.example.toml`, ROOT));
    expect(loadConfig(role, { file, env: { HOME: '/h' } }).network).toBe('mainnet');
  });
});

describe('config/compose.yaml', () => {
  const compose = parseYaml(read('config/compose.yaml'));
  const services = Object.entries(at(compose, 'services') as { readonly [key: string]: Yaml });

  it('publishes ports on the loopback only, and runs nothing as root', () => {
    expect(services.map(([name]) => name)).toEqual([
      ...['bitcoin', 'proxy', 'maker', 'prometheus', 'alertmanager', 'grafana'],
    ]);
    for (const [name, service] of services) {
      for (const port of at(service, 'ports') as readonly string[]) {
        expect(port, name).toMatch(/^(127\.0\.0\.1|\$\{(?:STRATUM|PEER)_BIND:-127\.0\.0\.1\}):\d+:\d+$/);
      }
      expect(at(service, 'user'), name).toMatch(/^[1-9]\d*:\d+$/);
      expect(at(service, 'cap_drop'), name).toEqual(['ALL']);
      expect(at(service, 'security_opt'), name).toEqual(['no-new-privileges:true']);
    }
  });

  it('pins images, checks health and mounts what exists', () => {
    for (const [name, service] of services) {
      expect(at(service, 'image'), name).toMatch(/:(?!latest)[\w.]+$/);
      if (name !== 'proxy' && name !== 'maker')
        expect(at(service, 'healthcheck', 'test', 0), name).toBe('CMD');
      for (const mount of at(service, 'volumes') as readonly string[]) {
        const [from = ''] = mount.split(':');
        if (from.startsWith('./')) expect(existsSync(new URL(`config/${from}`, ROOT)), mount).toBe(true);
        else if (!from.startsWith('$')) expect(Object.keys(at(compose, 'volumes')), mount).toContain(from);
      }
    }
    expect(read('Dockerfile')).toMatch(/^HEALTHCHECK .*\n.*'\/healthz'/m);
  });

  it('has a file for the watch, of its own machine, that gives it what its command knows', () => {
    const watch = at(parseYaml(read('config/compose.watch.yaml')), 'services', 'watch');
    expect(at(watch, 'cap_drop')).toEqual(['ALL']);
    expect(at(watch, 'user')).toBe('1000:1000');
    expect(at(watch, 'healthcheck', 'test', 0)).toBe('CMD');
    expect(at(watch, 'command', 0)).toBe('watch');
    const known = Object.keys(watchCommand.options ?? {}).map(
      (name) => `SHARESTREAM_WATCH_${name.replaceAll('-', '_').toUpperCase()}`,
    );
    for (const name of Object.keys(at(watch, 'environment') as object)) expect(known).toContain(name);
    for (const mount of at(watch, 'volumes') as readonly string[]) expect(mount).toMatch(/:ro$/);
  });

  it.each(['proxy', 'maker'] as const)('gives the %s an environment that it understands', (role) => {
    const config = configOf(role, at(compose, 'services', role), {
      ...{ POOL_URL: 'stratum+tcp://pool.example:3333', POOL_WORKER: 'w' },
      MAKER_PEERS: `${'01'.repeat(32)},${'02'.repeat(32)}`,
    });
    expect(config.metrics).toMatchObject({ allowedHosts: [role], listen: { host: '0.0.0.0' } });
    expect(config.chain).toMatchObject({
      rpcUrl: 'http://bitcoin:8332',
      auth: { type: 'password', user: 'sharestream' },
    });
    const [, ...ports] = /:(\d+):(\d+)$/.exec(at(compose, 'services', role, 'ports', 1) as string)!;
    expect(ports).toEqual(Array(2).fill(String(config.metrics.listen.port)));
    const [published] = at(compose, 'services', role, 'ports') as readonly string[];
    const listen = 'peer' in config ? config.peer.listen : config.stratum.listen;
    expect(published).toMatch(new RegExp(`:${listen.port}:${listen.port}$`));
    if ('peers' in config) expect(config.peers.allow).toHaveLength(2);
    else expect(config.destinations[0]).toMatchObject({ host: 'pool.example', worker: 'w' });
  });

  it('has its Prometheus look at both, and tell Alertmanager', () => {
    const own = parseYaml(read('config/compose.prometheus.yml'));
    const alertmanager = at(own, 'alerting', 'alertmanagers', 0, 'static_configs', 0, 'targets', 0);
    expect(alertmanager).toBe('alertmanager:9093');
    expect(at(own, 'scrape_configs', 0, 'static_configs', 0, 'targets')).toEqual(['proxy:9332']);
    expect(at(own, 'scrape_configs', 1, 'dns_sd_configs', 0)).toMatchObject({
      names: ['maker'],
      port: '9333',
    });
    const rules = at(own, 'rule_files', 0) as string;
    const mounts = at(compose, 'services', 'prometheus', 'volumes') as readonly string[];
    expect(mounts).toContain(`./prometheus:${rules.replace('/rules/*.yml', '')}:ro`);
    const config = configOf('proxy', at(compose, 'services', 'proxy'), {
      ...{ POOL_URL: 'stratum+tcp://pool.example:3333', POOL_WORKER: 'w' },
    });
    const scraped = at(
      parseYaml(read('config/prometheus/prometheus.yml')),
      'scrape_configs',
      0,
      'static_configs',
      0,
    );
    expect(at(scraped, 'targets')).toEqual([
      `${config.metrics.allowedHosts[0]}:${config.metrics.listen.port}`,
    ]);
  });
});

describe('what home servers install', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string };

  it('is a proxy at Umbrel, behind its own page of login', () => {
    const app = parseYaml(read('config/umbrel/umbrel-app.yml'));
    const compose = parseYaml(read('config/umbrel/docker-compose.yml'));
    const known = [
      ...['manifestVersion', 'id', 'category', 'name', 'version', 'tagline', 'description', 'developer'],
      ...['website', 'dependencies', 'repo', 'support', 'port', 'path', 'gallery', 'releaseNotes'],
      ...['defaultUsername', 'defaultPassword', 'submitter', 'submission'],
    ];
    expect(Object.keys(app).toSorted()).toEqual(known.toSorted());
    expect(app).toMatchObject({ manifestVersion: '1', version, dependencies: ['bitcoin'] });
    const proxy = at(compose, 'services', 'proxy');
    const { APP_HOST, APP_PORT } = at(compose, 'services', 'app_proxy', 'environment') as Env;
    expect(APP_HOST).toBe(`${at(app, 'id') as string}_proxy_1`);
    expect(at(proxy, 'image')).toBe(`sharestream:${version}`);
    const given = [...JSON.stringify(compose).matchAll(/\$\{(\w+)/g)].map(([, name]) => name!);
    const umbrel = {
      ...{ DEVICE_DOMAIN_NAME: 'umbrel.local', APP_BITCOIN_NODE_IP: '10.21.21.8', APP_DATA_DIR: '/a' },
      ...{ APP_BITCOIN_RPC_PORT: '8332', APP_BITCOIN_DATA_DIR: '/b' },
    };
    for (const name of given) expect(Object.keys(umbrel)).toContain(name);
    const config = configOf('proxy', proxy, umbrel, 'config/umbrel/data/proxy.toml');
    expect(config.metrics).toMatchObject({
      listen: { port: Number(APP_PORT) },
      allowedHosts: [APP_HOST, 'umbrel.local'],
    });
    expect(at(proxy, 'ports')).toEqual([`${config.stratum.listen.port}:${config.stratum.listen.port}`]);
    const [mount] = at(proxy, 'volumes') as readonly string[];
    expect(mount).toBe(`\${APP_DATA_DIR}/data:${config.dataDir}`);
    expect(at(proxy, 'command', 2)).toBe(`${config.dataDir}/proxy.toml`);
  });

  it('is one at Start9, which checks its health and backs its ledger up', () => {
    const manifest = parseYaml(read('config/start9/manifest.yaml'));
    expect(manifest).toMatchObject({
      id: 'sharestream',
      version,
      license: 'mit',
      'min-os-version': '0.3.5',
    });
    const script = at(manifest, 'main', 'args', 1) as string;
    const environment = Object.fromEntries(
      [...script.matchAll(/(SHARESTREAM_\w+)=([^ ;]+)/g)].map(([, name, value]) => [name!, value!]),
    );
    const config = configOf('proxy', { environment }, {}, 'config/start9/proxy.toml');
    expect(config.dataDir).toBe(at(manifest, 'main', 'mounts', 'main'));
    expect(at(manifest, 'volumes', 'main', 'type')).toBe('data');
    for (const of of ['create', 'restore'])
      expect(at(manifest, 'backup', of, 'mounts', 'main')).toBe(at(manifest, 'backup', of, 'args', 3));
    const { port } = config.metrics.listen;
    expect(at(manifest, 'interfaces', 'page', 'lan-config', '443', 'internal')).toBe(String(port));
    expect(at(manifest, 'health-checks', 'main', 'args', 1)).toContain(`:${port}/healthz`);
    const stratum = String(config.stratum.listen.port);
    expect(at(manifest, 'interfaces', 'stratum', 'lan-config', stratum, 'internal')).toBe(stratum);
    expect(script).toContain(
      `node ${(read('Dockerfile').match(/ENTRYPOINT \["node", "(.*)"\]/) ?? [])[1]} proxy`,
    );
  });
});

describe('.github/workflows/ci.yml', () => {
  const workflow = parseYaml(read('.github/workflows/ci.yml'));

  it('runs what every change must pass, on the Node of package.json and on the newest', () => {
    const job = (...path: (string | number)[]): Yaml => at(workflow, 'jobs', 'run', ...path);
    const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } };
    const [oldest = ''] = /\d+/.exec(engines.node) ?? [];
    expect(job('strategy', 'matrix', 'node')).toEqual([oldest, 'latest']);
    expect(job('container')).toBe(`node:${oldest}-bookworm`);
    expect((job('steps') as readonly Yaml[]).at(-1)).toEqual({ run: '.ci/run' });
    expect(at(workflow, 'permissions')).toEqual({ contents: 'read' });
  });
});

describe('provisioning', () => {
  it('joins Prometheus, Grafana and the dashboards', () => {
    const source = parseYaml(read('config/grafana/provisioning/datasources/prometheus.yml'));
    expect(at(source, 'apiVersion')).toBe('1');
    expect(at(source, 'datasources', 0, 'url')).toBe('http://prometheus:9090');
    const provider = parseYaml(read('config/grafana/provisioning/dashboards/provider.yml'));
    const folder = at(provider, 'providers', 0, 'options', 'path') as string;
    const mounts = at(parseYaml(read('config/compose.yaml')), 'services', 'grafana', 'volumes');
    expect(mounts).toContain(`./grafana/dashboards:${folder}:ro`);
    expect(at(parseYaml(read('config/prometheus/prometheus.yml')), 'rule_files')).toEqual(['rules/*.yml']);
  });
});

describe.each(['proxy', 'maker', 'watch'] as const)('systemd unit of %s', (role) => {
  const unit = new Map<string, string[]>();
  let section = '';
  for (const line of read(`config/systemd/sharestream-${role}.service`).split('\n')) {
    const header = /^\[(\w+)\]$/.exec(line);
    const entry = /^([A-Za-z]+)=(.*)$/.exec(line);
    if (header !== null) section = header[1]!;
    else if (entry !== null)
      unit.set(`${section}.${entry[1]}`, [...(unit.get(`${section}.${entry[1]}`) ?? []), entry[2]!]);
    else if (line !== '' && !line.startsWith('#')) throw new Error(`not a unit line: ${line}`);
  }
  const value = (key: string): string | undefined => unit.get(key)?.[0];

  it('starts its role with a state directory of its own', () => {
    const words =
      role === 'watch' ? '/var/lib/sharestream-watch' : `--config /etc/sharestream/${role}.toml`;
    expect(value('Service.ExecStart')).toBe(`/usr/bin/node /opt/sharestream/dist/main.js ${role} ${words}`);
    expect(value('Service.StateDirectory')).toBe(`sharestream-${role}`);
    const environment = unit.get(role === 'watch' ? 'Service.EnvironmentFile' : 'Service.Environment');
    expect(environment).toContain(
      role === 'watch' ? '/etc/sharestream/watch.env' : `SHARESTREAM_DATA_DIR=/var/lib/sharestream-${role}`,
    );
    expect(value('Service.Restart')).toBe('on-failure');
    // A node that boots late, or a port that is free again later, needs more than five tries.
    expect(value('Unit.StartLimitIntervalSec')).toBe('0');
    expect(value('Unit.After')?.split(' ')).toContain('bitcoind.service');
    expect(Number(value('Service.TimeoutStopSec'))).toBeGreaterThanOrEqual(30);
  });

  it('is confined, but not so that V8 cannot start', () => {
    for (const key of [
      'NoNewPrivileges',
      'DynamicUser',
      'ProtectHome',
      'PrivateTmp',
      'PrivateDevices',
      'LockPersonality',
    ]) {
      expect(value(`Service.${key}`), key).toBe('yes');
    }
    expect(value('Service.ProtectSystem')).toBe('strict');
    expect(value('Service.CapabilityBoundingSet')).toBe('');
    expect(unit.has('Service.MemoryDenyWriteExecute')).toBe(false);
  });
});

describe('the timer of backups', () => {
  const unit = read('config/systemd/sharestream-backup@.service');
  const settingOf = (text: string, key: string): string | undefined =>
    new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1];

  it('starts each night, also after a night when the machine was off', () => {
    const timer = read('config/systemd/sharestream-backup@.timer');
    expect(settingOf(timer, 'OnCalendar')).toBe('daily');
    expect(settingOf(timer, 'Persistent')).toBe('true');
  });

  it.each(['proxy', 'maker'])('is, for the %s, its user with its folder', (role) => {
    const daemon = read(`config/systemd/sharestream-${role}.service`);
    const ofRole = unit.replaceAll('%i', role);
    for (const key of ['User', 'DynamicUser']) expect(settingOf(ofRole, key)).toBe(settingOf(daemon, key));
    const [folder] = settingOf(ofRole, 'StateDirectory')!.split(' ');
    expect(folder).toBe(settingOf(daemon, 'StateDirectory'));
    expect(settingOf(ofRole, 'Environment=SHARESTREAM_DATA_DIR')).toBe(`/var/lib/${folder}`);
  });
});

describe('Dockerfile', () => {
  const lines = read('Dockerfile').split('\n');

  it('builds in one stage and runs in another, as nobody special', () => {
    const stages = lines.filter((line) => line.startsWith('FROM '));
    expect(stages).toEqual([`FROM --platform=$BUILDPLATFORM $\{BASE} AS build`, `FROM $\{BASE}`]);
    // The Node that is tested, by the digest of all its machines.
    const { devDependencies } = JSON.parse(read('package.json')) as { devDependencies: { node: string } };
    const base = /^ARG BASE=node:([\d.]+)-bookworm-slim@sha256:[0-9a-f]{64}$/m.exec(lines.join('\n'));
    expect(base?.[1]).toBe(devDependencies.node);
    expect(lines).toContain('USER node');
    expect(lines.lastIndexOf('USER node')).toBeGreaterThan(lines.indexOf(stages[1]!));
    expect(lines).toContain('STOPSIGNAL SIGTERM');
    expect(lines).toContain('ENTRYPOINT ["node", "dist/main.js"]');
  });

  it('leaves out what only a build, a test or the simulated chain needs', () => {
    const at = (words: string): number => lines.findIndex((line) => line.includes(words));
    expect(lines[at('npm prune')]).toMatch(/npm run build && npm prune --omit=dev --omit=optional /);
    expect(at('npm prune')).toBeLessThan(at('/build/node_modules'));
  });

  it('copies only what .dockerignore lets through', () => {
    const allowed = read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'));
    for (const line of lines.filter((text) => text.startsWith('COPY ') && !text.includes('--from'))) {
      for (const source of line.split(' ').slice(1, -1)) expect(allowed, line).toContain(`!${source}`);
    }
  });
});

describe('the Node of the scripts', () => {
  const versionOf = (program: string): string =>
    execFileSync(fileURLToPath(new URL(`../../node_modules/${program}`, import.meta.url)), ['--version'], {
      encoding: 'utf8',
    }).trim();

  it('is the one that package.json pins, and the newest stands beside it', ({ skip }) => {
    skip(!existsSync(new URL('../../node_modules/node-newest', import.meta.url)), 'npm ci brings it');
    const { devDependencies } = JSON.parse(read('package.json')) as {
      devDependencies: Record<string, string>;
    };
    const newest = devDependencies['node-newest']!.replace('npm:node@', '');
    expect(versionOf('.bin/node')).toBe(`v${devDependencies['node']}`);
    expect(versionOf('node/bin/node')).toBe(`v${devDependencies['node']}`);
    expect(versionOf('node-newest/bin/node')).toBe(`v${newest}`);
    expect(Number.parseInt(newest, 10)).toBeGreaterThan(24);
  });

  it('is both, for the core suite of .ci/run', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    expect(scripts['test:newest']).toMatch(
      /^node_modules\/node-newest\/bin\/node .*vitest\.mjs run --config test\/vitest\.config\.ts$/,
    );
    expect(read('.ci/run')).toMatch(/^suite core \d+ test$/m);
    expect(read('.ci/run')).toMatch(/^suite core-newest \d+ test:newest$/m);
  });
});
