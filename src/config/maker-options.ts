import { AUDITOR_PLACE } from './auditor-options.ts';
import { MAKER_BRAIDPOOL } from './bead-options.ts';
import {
  CHAIN_ACCESS,
  closeDir,
  dataDir,
  KEYS,
  LOG,
  MAKER_LEDGER,
  metricsSection,
  NETWORK,
  RPC_URL,
} from './common-options.ts';
import { POOL } from './destination-options.ts';
import { option, optional, section } from './options.ts';
import { POLICY } from './policy-options.ts';
import { ENDPOINT, hex, LISTEN, listOf } from './values.ts';
import { WALLET } from './wallet-options.ts';

/** Every option of `sharestream maker`, in the order of the example file. */
export const MAKER_OPTIONS = {
  network: NETWORK,
  dataDir: dataDir('maker'),
  closeDir: closeDir('the refund'),
  ledger: MAKER_LEDGER,
  log: LOG,
  peer: section('Where the miners of contracts connect.', {
    listen: option(LISTEN, '127.0.0.1:7333', { doc: 'Address and port for peers; always encrypted.' }),
    endpoints: option(listOf(ENDPOINT), [], {
      doc: 'Where miners reach you, host:port each, in the offers that you serve. Default: listen.',
    }),
  }),
  peers: section('Who may connect.', {
    allow: option(listOf(hex(32)), [], {
      live: true,
      doc: 'Node ids of the miners, printed by `sharestream keys show`. An empty list admits nobody.',
    }),
  }),
  policy: POLICY,
  pool: POOL,
  chain: section('The bitcoin full node.', {
    rpcUrl: optional(RPC_URL.url, 'http://127.0.0.1:8332', {
      doc: `${RPC_URL.doc} Default: as here, but none where policy.bindings is ["none"].`,
    }),
    ...CHAIN_ACCESS,
  }),
  braidpool: MAKER_BRAIDPOOL,
  wallet: WALLET,
  auditor: AUDITOR_PLACE,
  metrics: metricsSection('127.0.0.1:9333'),
  keys: KEYS,
} as const;
