import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import type { ProxyConfig } from '../../src/config/config.ts';
import { explainConfig, loadConfig } from '../../src/config/load.ts';
import type { Problem } from '../../src/config/problems.ts';
import { readSecretFile, readTextFile } from '../../src/config/secrets.ts';
import { downstreamOptions } from '../../src/mining/downstream-options.ts';
import { upstreamOptions } from '../../src/mining/upstream-options.ts';

const folder = mkdtempSync(join(tmpdir(), 'mining-options-'));
afterAll(() => rmSync(folder, { recursive: true }));

const PEM = '-----BEGIN PRIVATE KEY-----\nMIIBVAIBADANBg\nkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----';
const cert = file('cert.pem', `${PEM}\n${PEM}\n`, 0o644);
const key = file('key.pem', `\n${PEM}\n`, 0o600);

function file(name: string, text: string, mode: number): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

function load(text: string): ProxyConfig {
  return loadConfig('proxy', { file: file('proxy.toml', text, 0o644), env: { HOME: '/h' } });
}

/** The problems of a configuration as `path message`. */
function problemsOf(text: string): string[] {
  try {
    load(text);
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== 'config_invalid') throw error;
    return (error.meta['problems'] as Problem[]).map(({ path, message }) => `${path} ${message}`);
  }
  return [];
}

function destination(name: string, more = '', url = `stratum+tcp://${name}.example:3333`): string {
  return `[[destination]]\nname = "${name}"\nurl = "${url}"\nworker = "w"\n${more}\n`;
}
const OWN = destination('own');
const listener = (more: string): string => `${OWN}[[stratum.listener]]\n${more}\n`;
const limits = (more: string): string => `${OWN}[stratum.limits]\n${more}\n`;

describe('ports for miners', () => {
  it('are one plain port unless more are written', () => {
    const { listeners, limits: bounds, reconnectAtClose } = load(OWN).stratum;
    expect(listeners).toEqual([]);
    expect(reconnectAtClose).toBe(false);
    expect(bounds).toEqual({
      ...{ maxSessionsPerAddress: 20_000, acceptsPerSecond: 2000, acceptsPerSecondPerAddress: 1000 },
      ...{ linesPerSecond: 1000, subscribeTimeoutMs: 15_000, authorizeTimeoutMs: 60_000 },
      ...{ idleTimeoutMs: 900_000, keepAliveMs: 55_000, resumeForMs: 600_000, banForMs: 600_000 },
      ...{ resendAfter: 100, reconnectAfter: 300, banAfter: 1000, allow: [], deny: [] },
    });
  });

  it('take version bits that nobody asked for where hashrate is rented, or where they are told to', () => {
    const takes = (text: string): (boolean | undefined)[] =>
      downstreamOptions(load(text).stratum, {}).listeners.map(
        ({ takesUnaskedVersions }) => takesUnaskedVersions,
      );
    expect(takes(OWN)).toEqual([false]);
    expect(takes(listener('listen = "[::]:1"'))).toEqual([false, false]);
    expect(takes(listener('listen = "[::]:1"\ndifficulty = 524288'))).toEqual([false, true]);
    expect(takes(listener('listen = "[::]:1"\ndifficulty = 524288\nunasked_versions = false'))).toEqual([
      false,
      false,
    ]);
    expect(takes(`${OWN}[stratum]\nunasked_versions = true\n`)).toEqual([true]);
  });

  it('may speak TLS, stand behind a balancer and ask for hard shares', () => {
    const config = load(`${OWN}
[stratum]
reconnect_at_close = true
[stratum.limits]
max_sessions_per_address = 5
resume_for = "0s"
allow = ["10.0.0.0/8", "::1"]
[[stratum.listener]]
listen = "0.0.0.0:3334"
tls_cert_file = "cert.pem"
tls_key_file = "${key}"
[[stratum.listener]]
listen = "[::]:3335"
proxies = ["10.0.0.1"]
difficulty = 524288
[[stratum.listener]]
listen = "[::]:3333"
`);
    expect(config.stratum).toMatchObject({
      reconnectAtClose: true,
      limits: { maxSessionsPerAddress: 5, resumeForMs: 0, allow: ['10.0.0.0/8', '::1'] },
      listeners: [
        { listen: { host: '0.0.0.0', port: 3334 }, tls: { certFile: cert, keyFile: key }, proxies: [] },
        { listen: { host: '::', port: 3335 }, proxies: ['10.0.0.1'], difficulty: 524_288 },
        { listen: { host: '::', port: 3333 } },
      ],
    });
  });

  it('keep every line of a key and of a certificate', () => {
    expect(readSecretFile(key, {})).toBe(PEM);
    expect(readTextFile(cert)).toBe(`${PEM}\n${PEM}\n`);
    expect(() => readTextFile(folder)).toThrow(/config_unreadable.*not a file/);
    expect(() => readTextFile(join(folder, 'none'))).toThrow(/config_unreadable.*does not exist/);
  });

  it('show no key in the effective configuration', () => {
    const text = listener(`listen = "0.0.0.0:3334"\ntls_cert_file = "cert.pem"\ntls_key_file = "key.pem"`);
    const path = file('shown.toml', text, 0o644);
    const shown = explainConfig('proxy', { file: path, env: { HOME: '/h' } });
    expect(shown).toContainEqual(
      expect.objectContaining({ path: 'stratum.listener.0.tls_key_file', value: '(hidden)' }),
    );
  });

  it.each([
    [listener(''), 'stratum.listener.0.listen is missing; for example "0.0.0.0:3334"'],
    [listener('listen = "127.0.0.1:3333"'), 'stratum.listener.0.listen is taken by stratum.listen'],
    [listener('listen = "127.0.0.1:9332"'), 'stratum.listener.0.listen is taken by metrics.listen'],
    [
      `${listener('listen = "[::]:1"')}[[stratum.listener]]\nlisten = "[::]:1"\n`,
      'stratum.listener.1.listen is taken by stratum.listener.0.listen',
    ],
    [
      listener('listen = "[::]:1"\ntls_cert_file = "cert.pem"'),
      'stratum.listener.0.tls_key_file is missing: tls_cert_file and tls_key_file belong together',
    ],
    [
      listener('listen = "[::]:1"\ntls_key_file = "key.pem"'),
      'stratum.listener.0.tls_cert_file is missing: tls_cert_file and tls_key_file belong together',
    ],
    [
      listener('listen = "[::]:1"\ntls_cert_file = "none"\ntls_key_file = "key.pem"'),
      `stratum.listener.0.tls_cert_file cannot be used: ${join(folder, 'none')} does not exist`,
    ],
    [
      listener('listen = "[::]:1"\nproxies = ["10.0.0.0/40"]'),
      'stratum.listener.0.proxies has an item that must be an IP address or a range such as "10.0.0.0/8", got "10.0.0.0/40"',
    ],
    [
      listener('listen = "[::]:1"\ndifficulty = 2e9'),
      'stratum.listener.0.difficulty must not exceed stratum.difficulty.max',
    ],
    [
      `${listener('listen = "[::]:1"')}${destination('loop', '', 'stratum+tcp://127.0.0.1:1')}`,
      'destination.1.url is the address of the proxy itself (stratum.listen)',
    ],
    [
      limits('resend_after = 400'),
      'stratum.limits.reconnect_after must not be less than stratum.limits.resend_after',
    ],
    [
      limits('ban_after = 200'),
      'stratum.limits.ban_after must not be less than stratum.limits.reconnect_after',
    ],
    [limits('keep_alive = "1s"'), 'stratum.limits.keep_alive must be at least "5s"'],
    [
      limits('keepalive = "60s"'),
      'stratum.limits.keepalive is not an option; did you mean stratum.limits.keep_alive?',
    ],
    [limits('accepts_per_second = 0'), 'stratum.limits.accepts_per_second must be at least 1'],
    [
      limits('deny = ["example.com"]'),
      'stratum.limits.deny has an item that must be an IP address or a range such as "10.0.0.0/8", got "example.com"',
    ],
  ])('refuse %j', (text, problem) => {
    expect(problemsOf(text)).toContain(problem);
  });

  it('refuse a key that others can read', () => {
    file('open.pem', PEM, 0o644);
    const text = listener('listen = "[::]:1"\ntls_cert_file = "cert.pem"\ntls_key_file = "open.pem"');
    expect(problemsOf(text)).toEqual([
      expect.stringMatching(/^stratum\.listener\.0\.tls_key_file cannot be used: .*mode 0644/),
    ]);
  });
});

describe('destinations', () => {
  it('may be slow to authorise, for as long as they are given', () => {
    const [row] = load(destination('slow', 'handshake_timeout = "45s"')).destinations;
    expect(upstreamOptions(row!, {}).timeouts).toEqual({ requestMs: 45_000 });
  });

  it('have defaults that suit a pool', () => {
    const config = load(OWN);
    expect(config.destinations[0]).toMatchObject({
      ...{ name: 'own', host: 'own.example', port: 3333, worker: 'w', profile: 'generic' },
      ...{ role: 'fallback', priority: 0, quota: undefined, tls: undefined, versionReading: 'auto' },
      ...{ versionMask: 0x1fffe000, resume: undefined, extranonceSubscribe: false },
      ...{ suggestDifficulty: undefined, allowRedirect: false, rpcUrl: undefined, payoutMode: 'normal' },
      handshakeTimeoutMs: 10_000,
      password: { type: 'text', text: 'x' },
    });
    expect(config.failover).toEqual({ returnAfterMs: 60_000, maxRejectRatio: 0.5, maxRoundTripMs: 10_000 });
    expect(config.split).toEqual({ minStayMs: 60_000, sliceMs: 300_000, tolerance: 0.01 });
  });

  it('can be told everything about an upstream', () => {
    const config = load(`${destination(
      'pool',
      `tls_ca_file = "cert.pem"
tls_server_name = "other.example"
tls_verify = false
version_reading = "xor"
version_mask = "00000000"
resume = false
extranonce_subscribe = true
suggest_difficulty = 1024
allow_redirect = true
weight = 2.5`,
      'stratum+ssl://pool.example:443',
    )}${destination('node', 'profile = "braidpool"\nrate = "5 PH/s"\nrpc_url = "http://[::1]:6682"\npayout_mode = "audit"')}
[stratum]
version_mask = "1fffffe0"
[failover]
return_after = "5s"
max_reject_ratio = 0.2
max_round_trip = "2s"
[split]
min_stay = "1s"
slice = "30s"
tolerance = 0.05
`);
    expect(config.destinations).toMatchObject([
      {
        ...{ host: 'pool.example', port: 443, versionReading: 'xor', versionMask: 0, resume: false },
        ...{ extranonceSubscribe: true, suggestDifficulty: 1024, allowRedirect: true },
        tls: { caFile: cert, serverName: 'other.example', verify: false },
        quota: { type: 'weight', weight: 2.5 },
      },
      {
        ...{ versionMask: 0x1fffffe0, rpcUrl: 'http://[::1]:6682', payoutMode: 'audit', tls: undefined },
        quota: { type: 'rate', hashesPerSecond: 5n * 10n ** 15n },
      },
    ]);
    expect(config.failover).toEqual({ returnAfterMs: 5000, maxRejectRatio: 0.2, maxRoundTripMs: 2000 });
    expect(config.split).toEqual({ minStayMs: 1000, sliceMs: 30_000, tolerance: 0.05 });
  });

  const noTls = 'says nothing without TLS: write the url with stratum+ssl://';
  it.each([
    [destination('a', 'weight = 1\nrate = "1 PH/s"'), 'destination.0.rate and weight exclude each other'],
    [destination('a', 'weight = 0'), 'destination.0.weight must be a positive number, got 0'],
    [destination('a', 'rate = "0 H/s"'), 'destination.0.rate must be at least "1 H/s"'],
    [
      destination('a', 'role = "contract"\nweight = 1'),
      'destination.0.weight is for fallbacks; a contract comes before them, and may have a rate',
    ],
    [destination('a', 'tls_ca_file = "cert.pem"'), `destination.0.tls_ca_file ${noTls}`],
    [destination('a', 'tls_server_name = "b"'), `destination.0.tls_server_name ${noTls}`],
    [destination('a', 'tls_verify = false'), `destination.0.tls_verify ${noTls}`],
    [
      destination('a', 'tls_ca_file = "none"', 'stratum+ssl://a.example:1'),
      `destination.0.tls_ca_file cannot be used: ${join(folder, 'none')} does not exist`,
    ],
    [
      destination('a', 'version_reading = "and"'),
      'destination.0.version_reading must be one of "auto", "replace", "xor", "or", got "and"',
    ],
    [
      destination('a', 'rpc_url = "http://127.0.0.1:6682"'),
      'destination.0.rpc_url is for profile = "braidpool" only',
    ],
    [
      destination('a', 'payout_mode = "audit"'),
      'destination.0.payout_mode is for profile = "braidpool" only',
    ],
    [
      destination('a', 'profile = "braidpool"\nsuggest_difficulty = 5'),
      'destination.0.suggest_difficulty is not for Braidpool, which would not judge by it',
    ],
    [`${OWN}[failover]\nmax_reject_ratio = 1.5\n`, 'failover.max_reject_ratio must be at most 1'],
    [`${OWN}[split]\ntolerance = 2\n`, 'split.tolerance must be at most 1'],
  ])('refuse %j', (text, problem) => {
    expect(problemsOf(text)).toContain(problem);
  });
});
