import { AUDITOR_LEDGER, dataDir, KEYS, LOG, metricsSection, NETWORK } from './common-options.ts';
import { option, optional, section } from './options.ts';
import { AUDITOR_KEY_EXAMPLE } from './stake-options.ts';
import { ENDPOINT, hex, LISTEN, listOf } from './values.ts';

/** Every option of `sharestream auditor`, in the order of the example file. */
export const AUDITOR_OPTIONS = {
  network: NETWORK,
  dataDir: dataDir('auditor'),
  ledger: AUDITOR_LEDGER,
  log: LOG,
  peer: section('Where both sides of contracts connect.', {
    listen: option(LISTEN, '127.0.0.1:7334', { doc: 'Address and port for peers; always encrypted.' }),
  }),
  peers: section('Who may connect.', {
    allow: option(listOf(hex(32)), [], {
      live: true,
      doc: 'Node ids of the proxies and market makers, printed by `sharestream keys show`. An empty list admits nobody.',
    }),
  }),
  metrics: metricsSection('127.0.0.1:9335'),
  keys: KEYS,
} as const;

/** `[auditor]` of a proxy or a market maker: whom both logs are told. */
export const AUDITOR_PLACE = section(
  'The program of the auditor that the terms of contracts name. Without it rulings are asked for and signed by hand.',
  {
    address: optional(ENDPOINT, 'auditor.example:7334', { doc: 'Where it listens.' }),
    nodeId: optional(hex(32), 'c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5', {
      doc: 'Its node id (x-only public key), as it publishes it.',
    }),
    key: optional(hex(33), AUDITOR_KEY_EXAMPLE, {
      doc: 'The key of its that terms name, compressed: what offers say, and bonds are asked for and taken with, unless they say another.',
    }),
  },
);
