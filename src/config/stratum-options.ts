import { LIMITS } from '../base/limits.ts';
import { live, option, optional, required, section, tables } from './options.ts';
import {
  ADDRESS_RANGE,
  BOOLEAN,
  choice,
  DURATION,
  INTEGER,
  LISTEN,
  listOf,
  PATH,
  POSITIVE,
  SECRET_PATH,
  VERSION_MASK,
} from './values.ts';

const DIFFICULTY_SECTION = section('How hard the shares are that each miner is asked for.', {
  mode: option(choice('vardiff', 'fixed'), 'vardiff', {
    doc: 'vardiff follows the speed of each miner; fixed keeps `start`.',
  }),
  start: option(POSITIVE, 16_384, { doc: 'Difficulty of a new connection.' }),
  min: option(POSITIVE, 512, {
    doc: 'The easiest. Work for a contract is asked for at contract.share_difficulty instead.',
  }),
  smallMin: option(POSITIVE, 0.000_01, {
    doc: 'The same for machines that say they are slow: NerdMiner and cpuminer by name, others by suggesting less than 1.',
  }),
  max: option(POSITIVE, 1_000_000_000, { doc: 'The hardest.' }),
  sharesPerMinute: option(POSITIVE, 12, {
    min: 1,
    max: 600,
    doc: 'Shares a minute that vardiff aims at for each miner.',
  }),
});

const LISTENER = tables(
  'One more port for miners: with TLS, behind a balancer, or for rented hashrate with hard shares.',
  0,
  {
    listen: required(LISTEN, '0.0.0.0:3334', { doc: 'Address and port, another than stratum.listen.' }),
    tlsCertFile: optional(PATH, '/etc/sharestream/tls/cert.pem', {
      doc: 'Certificate chain (PEM). With it the port speaks TLS: miners use stratum+ssl://.',
    }),
    tlsKeyFile: optional(SECRET_PATH, '/etc/sharestream/tls/key.pem', {
      secret: true,
      doc: 'Private key of the certificate (PEM), mode 0600.',
    }),
    proxies: option(listOf(ADDRESS_RANGE), [], {
      doc: 'Addresses and ranges of balancers. Their connections begin with the PROXY protocol (1 or 2); of nobody else is it believed.',
    }),
    difficulty: optional(POSITIVE, 524_288, {
      doc: 'The easiest shares on this port, and those of a new connection. Default: as stratum.difficulty.',
    }),
    unaskedVersions: optional(BOOLEAN, true, {
      doc: 'Take version bits from machines that never asked to roll them. Default: yes on a port with a difficulty.',
    }),
  },
);

const LIMITS_SECTION = section('What one miner, one address and all together may do.', {
  maxSessionsPerAddress: option(INTEGER, LIMITS.sessionsPerAddress, {
    min: 1,
    max: LIMITS.sessions,
    doc: 'Connections of one IPv4 address or IPv6 /64. A farm may sit behind one.',
  }),
  acceptsPerSecond: option(INTEGER, LIMITS.acceptsPerSecond, {
    min: 1,
    max: 100_000,
    doc: 'New connections a second; five times as many at once.',
  }),
  acceptsPerSecondPerAddress: option(INTEGER, LIMITS.acceptsPerSecondPerAddress, {
    min: 1,
    max: 100_000,
    doc: 'The same for one address.',
  }),
  linesPerSecond: option(INTEGER, LIMITS.sessionLinesPerSecond, {
    min: 1,
    max: 100_000,
    doc: 'Lines a second of one connection, five times as many at once. Above it the connection is read more slowly.',
  }),
  subscribeTimeout: option(DURATION, '15s', {
    min: '1s',
    max: '10m',
    doc: 'A connection that has not subscribed by then is closed.',
  }),
  authorizeTimeout: option(DURATION, '60s', {
    min: '1s',
    max: '10m',
    doc: 'The same for one that has not authorised a worker.',
  }),
  idleTimeout: option(DURATION, '15m', {
    min: '10s',
    max: '1d',
    doc: 'Silence of a miner before it is closed; at half of it the miner is pinged.',
  }),
  keepAlive: option(DURATION, '55s', {
    min: '5s',
    max: '10m',
    doc: 'A miner that got no new job for so long gets the present one again with a later time. Many leave after a minute or two.',
  }),
  resumeFor: option(DURATION, '10m', {
    min: '0s',
    max: '1h',
    doc: 'How long a miner that lost its connection can take up its session by its id. 0s: never.',
  }),
  resendAfter: option(INTEGER, 100, {
    min: 1,
    max: 1_000_000,
    doc: 'Invalid shares in a row after which a miner is sent new work.',
  }),
  reconnectAfter: option(INTEGER, 300, {
    min: 1,
    max: 1_000_000,
    doc: 'After which it is asked to connect anew. Stale shares are not counted.',
  }),
  banAfter: option(INTEGER, 1000, {
    min: 1,
    max: 1_000_000,
    doc: 'After which it is closed and its address refused, unless others earn behind it.',
  }),
  banFor: option(DURATION, '10m', { min: '1s', max: '7d', doc: 'How long a refused address stays so.' }),
  allow: option(listOf(ADDRESS_RANGE), [], {
    doc: 'Addresses and ranges that may connect. Empty: all.',
  }),
  deny: option(listOf(ADDRESS_RANGE), [], {
    doc: 'Addresses and ranges that may not, whatever allow says.',
  }),
});

export const STRATUM = section('Where the miners connect (Stratum v1).', {
  listen: option(LISTEN, '127.0.0.1:3333', {
    doc: 'Address and port for miners. Use "0.0.0.0:3333" to serve the local network.',
  }),
  reusePort: option(BOOLEAN, false, {
    doc:
      'Share the port with other proxies on this machine, each with its own data_dir and metrics.listen ' +
      '(Linux). Each has upstream connections of its own, and a pool gives each connection another ' +
      'extranonce1, so no two of them give out the same work.',
  }),
  versionMask: option(VERSION_MASK, '1fffe000', {
    doc: 'Version bits that miners may roll (BIP320), as far as the upstream allows it too.',
  }),
  unaskedVersions: option(BOOLEAN, false, {
    doc: 'Take version bits from machines that never asked to roll them (mining.configure).',
  }),
  maxSessions: option(INTEGER, 10_000, {
    live: true,
    min: 1,
    max: LIMITS.sessions,
    doc: 'Connections in all; about 8 KiB of memory each.',
  }),
  reconnectAtClose: option(BOOLEAN, false, {
    live: true,
    doc: 'Tell miners to connect anew when the proxy stops. For a restart or behind a balancer; not all firmware listens.',
  }),
  ...live({ difficulty: DIFFICULTY_SECTION, limits: LIMITS_SECTION }),
  listener: LISTENER,
});
