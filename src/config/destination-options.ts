import { option, optional, required, section, tables } from './options.ts';
import {
  BOOLEAN,
  choice,
  DURATION,
  HASHRATE,
  HTTP_URL,
  INTEGER,
  NAME,
  PATH,
  POSITIVE,
  SECRET_PATH,
  STRATUM_URL,
  TEXT,
  VERSION_MASK,
} from './values.ts';

export const DESTINATION = tables(
  'A Braidpool node or a pool to mine to. Write one [[destination]] for each.',
  1,
  {
    name: required(NAME, 'own', { doc: 'A short name, unique; it labels metrics and evidence.' }),
    url: required(STRATUM_URL, 'stratum+tcp://node.example:3333', {
      doc: 'Its address. stratum+ssl:// for TLS.',
    }),
    worker: required(TEXT, 'bc1qexampleaddress.rig', {
      doc: 'Worker name there. Braidpool takes the payout address, pools an account.',
    }),
    password: option(TEXT, 'x', {
      secret: true,
      doc: 'Password there. Most pools ignore it or read options from it; for a real one use password_file.',
    }),
    passwordFile: optional(SECRET_PATH, '/etc/sharestream/pool-password', {
      secret: true,
      doc: 'File with the password, mode 0600, instead of password.',
    }),
    profile: option(choice('generic', 'braidpool'), 'generic', {
      doc: 'Which dialect of Stratum it speaks.',
    }),
    role: option(choice('contract', 'fallback'), 'fallback', {
      doc: 'contract: work done for the market maker goes here. fallback: your own pool, used when no contract runs.',
    }),
    priority: option(INTEGER, 0, {
      min: 0,
      max: 1000,
      doc: 'Among the fallbacks the lowest that is up is used, unless the hashrate is split by weight or rate.',
    }),
    weight: optional(POSITIVE, 3, {
      max: 1_000_000,
      doc: 'Splits the hashrate among the fallbacks that have one: 3 and 1 are three quarters and one. The others stand by.',
    }),
    rate: optional(HASHRATE, '5 PH/s', {
      min: '1 H/s',
      doc: 'This much of the hashrate instead of a weight, before the weights share the rest. Of a contract: the most it gets.',
    }),
    tlsCaFile: optional(PATH, '/etc/sharestream/pool-ca.pem', {
      doc: "Certificates (PEM) to trust instead of the system's, for stratum+ssl://.",
    }),
    tlsServerName: optional(TEXT, 'pool.example', {
      doc: 'The name the certificate must carry. Default: the host of the address.',
    }),
    tlsVerify: option(BOOLEAN, true, {
      doc: 'false takes any certificate: then anyone on the way can read, and redirect your work.',
    }),
    versionReading: option(choice('auto', 'replace', 'xor', 'or'), 'auto', {
      doc: 'How it reads the version bits of a share. auto learns it from its verdicts.',
    }),
    versionMask: optional(VERSION_MASK, '1fffe000', {
      doc: 'Version bits to ask it for; 00000000 asks for none, for old pools that hang up on it. Default: stratum.version_mask.',
    }),
    resume: optional(BOOLEAN, true, {
      doc: 'Take up the lost session when connecting again, unanswered shares included. Default: yes for pools, no for Braidpool.',
    }),
    extranonceSubscribe: option(BOOLEAN, false, {
      doc: 'Ask for changes of the extranonce. Some pools hang up on the question.',
    }),
    suggestDifficulty: optional(POSITIVE, 65_536, {
      doc: 'A difficulty to ask it for; it may not listen.',
    }),
    handshakeTimeout: option(DURATION, '10s', {
      min: '1s',
      max: '10m',
      doc: 'How long it may take for each of its first answers. Some pools look up an account for half a minute.',
    }),
    allowRedirect: option(BOOLEAN, false, {
      doc: 'Follow its client.reconnect to another host: whoever can send that line gets your hashrate.',
    }),
    rpcUrl: optional(HTTP_URL, 'http://127.0.0.1:6682', {
      doc: 'JSON-RPC of a Braidpool node, to see what became of your shares.',
    }),
    payoutMode: option(choice('normal', 'audit'), 'normal', {
      doc: 'audit: the Braidpool node leaves one byte of extranonce2, so each miner gets a connection of its own.',
    }),
    maxLinks: option(INTEGER, 256, {
      min: 1,
      max: 60_000,
      doc: 'Connections to it in all, where each miner gets one of its own.',
    }),
    spareLinks: option(INTEGER, 2, {
      min: 0,
      max: 1000,
      doc: 'Of these kept ready, so that a new miner need not wait for its own.',
    }),
    linkExtranonce1: option(choice('auto', 'upstream', 'empty'), 'auto', {
      doc: 'Extranonce1 of such miners. That of upstream may change with each job; auto gives it to those that take that, or no empty one.',
    }),
  },
);

const { name, url, worker, password, passwordFile, profile } = DESTINATION.rows;
const { tlsCaFile, tlsServerName, tlsVerify, versionReading, resume } = DESTINATION.rows;
const { extranonceSubscribe, suggestDifficulty, handshakeTimeout, allowRedirect } = DESTINATION.rows;

export const POOL = tables(
  'Your pool or Braidpool node, for contracts whose jobs are your own. Write one [[pool]] for each.',
  0,
  {
    ...{ name, url, worker, password, passwordFile, profile },
    priority: option(INTEGER, 0, { min: 0, max: 1000, doc: 'The lowest that does well gives the jobs.' }),
    ...{ tlsCaFile, tlsServerName, tlsVerify, versionReading },
    versionMask: option(VERSION_MASK, '1fffe000', {
      doc: 'Version bits to ask it for; 00000000 asks for none, for old pools that hang up on it.',
    }),
    ...{ resume, extranonceSubscribe, suggestDifficulty, handshakeTimeout, allowRedirect },
  },
);

export const FAILOVER = section('When a destination is left, and when it is returned to.', {
  returnAfter: option(DURATION, '60s', {
    min: '0s',
    max: '1d',
    doc: 'A better destination must have been healthy for so long before the hashrate returns to it.',
  }),
  maxRejectRatio: option(POSITIVE, 0.5, {
    max: 1,
    doc: 'Above this part of refused shares a destination is avoided while there is another. 1: never.',
  }),
  maxRoundTrip: option(DURATION, '10s', {
    min: '10ms',
    max: '1h',
    doc: 'The same for the mean time to its answers.',
  }),
});

export const SPLIT = section('How hashrate is split by weight and rate.', {
  minStay: option(DURATION, '60s', {
    min: '0s',
    max: '1d',
    doc: 'A miner stays at a destination at least this long, unless it fails.',
  }),
  slice: option(DURATION, '5m', {
    min: '0s',
    max: '1d',
    doc: 'Time in which what a destination missed is made up for, so that few miners meet the mean too. 0s: never.',
  }),
  tolerance: option(POSITIVE, 0.01, {
    max: 1,
    doc: 'Part of its target by which a destination may be off before miners are moved.',
  }),
});
