import { live, option, optional, required, section, tables } from './options.ts';
import {
  BOOLEAN,
  choice,
  DURATION,
  FEE_RATE,
  HTTP_URL,
  INTEGER,
  LISTEN,
  listOf,
  NAME,
  PATH,
  POSTGRES_URL,
  SECRET_PATH,
  TEXT,
} from './values.ts';

export const NETWORK = option(choice('mainnet', 'testnet', 'testnet4', 'signet', 'regtest'), 'mainnet', {
  doc: 'The bitcoin network. Both parties of a contract must be on the same one.',
});

export const LOG = section('What is written to the standard output, one JSON object a line.', {
  level: option(choice('debug', 'info', 'warn', 'error'), 'info', {
    live: true,
    doc: 'The least important level that is written. debug writes a line per message and is for finding faults.',
  }),
});

export const LEDGER = section('The ledger: a file in data_dir, or a PostgreSQL.', {
  keep: option(DURATION, '30d', {
    min: '1d',
    max: '3650d',
    doc: 'How long evidence is kept after it was sealed into compressed segments; that of a contract at least until it is settled.',
  }),
  url: optional(POSTGRES_URL, 'postgres://sharestream@db1.example:5432,db2.example:5432/sharestream', {
    doc: 'A PostgreSQL (15 or newer, with a synchronous standby) instead of the file in data_dir. The first that is a primary is used.',
  }),
  instance: optional(NAME, 'proxy-1', {
    doc: 'The name of this daemon there, of no other daemon at the same database.',
  }),
  site: optional(NAME, 'hall-3', {
    doc: 'Where this daemon stands: shown by `fleet status`, and nothing else.',
  }),
  passwordFile: optional(SECRET_PATH, '/etc/sharestream/postgres-password', {
    secret: true,
    doc: 'File with the password of the user there, mode 0600. Default: PGPASSWORD in the environment, or none.',
  }),
  tlsCaFile: optional(PATH, '/etc/sharestream/postgres-ca.pem', {
    doc: "Certificates (PEM) to trust there instead of the system's.",
  }),
  singleServer: option(BOOLEAN, false, {
    doc: 'Take a PostgreSQL without a synchronous standby: with that one server all is lost, what was acknowledged too.',
  }),
});

const STANDBY = {
  standby: optional(DURATION, '5s', {
    min: '1s',
    max: '10m',
    doc: 'Two machines have the keys and the instance of this daemon: one works, the other takes over once it is silent for so long.',
  }),
};

/** Of a daemon that seals evidence. */
export const SEALED_LEDGER = section(LEDGER.doc, { ...LEDGER.rows, ...live({ keep: LEDGER.rows.keep }) });

/** Of daemons that can be kept twice; several proxies have `contract.lease`. */
export const MAKER_LEDGER = section(LEDGER.doc, { ...SEALED_LEDGER.rows, ...STANDBY });
export const AUDITOR_LEDGER = section(LEDGER.doc, { ...LEDGER.rows, ...STANDBY });

export const FEE_RATE_OPTION = option(FEE_RATE, '5 sat/vB', {
  min: '1 sat/vB',
  max: '1000 sat/vB',
  doc: 'Fee rate of a transaction where the bitcoin node has no estimate.',
});

const NODE_ACCESS = {
  user: optional(TEXT, 'sharestream', {
    doc: 'User name at the bitcoin node, together with password_file.',
  }),
  passwordFile: optional(SECRET_PATH, '/etc/sharestream/rpc-password', {
    secret: true,
    doc: 'File with the password of the user, mode 0600.',
  }),
  cookieFile: optional(PATH, '/var/lib/bitcoind/.cookie', {
    secret: true,
    doc: "The bitcoin node's cookie file, instead of user and password_file. Read again at each connection.",
  }),
} as const;

export const CHAIN_ACCESS = {
  ...NODE_ACCESS,
  poll: option(DURATION, '5s', {
    min: '100ms',
    max: '10m',
    doc: 'How often the bitcoin node is asked for a new block.',
  }),
  feeRate: FEE_RATE_OPTION,
  blockInterval: optional(DURATION, '10m', {
    max: '1h',
    doc: 'Time between blocks, by which it is told that no node hears of new ones. 0s: never. Default: 10m, on regtest 0s.',
  }),
  nodes: tables(
    'Further bitcoin nodes, better on other machines and networks. Each transaction goes to all, the best tip of any counts.',
    0,
    {
      rpcUrl: required(HTTP_URL, 'http://192.0.2.7:8332', { doc: 'JSON-RPC of the node.' }),
      ...NODE_ACCESS,
    },
  ),
} as const;

export const RPC_URL = {
  url: HTTP_URL,
  doc: 'JSON-RPC of a bitcoin full node. It is asked for blocks, confirmations and fees, and broadcasts.',
} as const;

export const KEYS = section('Keys of this node.', {
  seedFile: optional(SECRET_PATH, '/etc/sharestream/seed', {
    secret: true,
    doc: 'File with the keys, 64 hex digits or a mnemonic, mode 0600; made by `sharestream keys new`. Default: `seed` in data_dir.',
  }),
  nodeNumber: option(INTEGER, 0, {
    min: 0,
    max: 2 ** 31 - 1,
    doc: 'Which node key of the seed is used. One more is another node id, with the same keys of money; refused while a contract runs.',
  }),
});

export function metricsSection(listen: string) {
  return section('Metrics, health and status over HTTP. Keep it on a private address.', {
    listen: option(LISTEN, listen, {
      doc: 'Where /metrics, /livez, /healthz, /readyz and /api/v1 are served.',
    }),
    allowedHosts: option(listOf(TEXT), [], {
      live: true,
      doc: 'Host names, beside localhost and addresses, by which it may be reached: a defence against DNS rebinding.',
    }),
  });
}

export function dataDir(role: string) {
  return option(PATH, `~/.sharestream/${role}`, {
    doc: 'Where the ledger, the evidence and the API token are kept. Relative paths start at the folder of this file.',
  });
}

/** @param kept of each channel */
export function closeDir(kept: string) {
  return optional(PATH, '/mnt/other-disk/sharestream', {
    doc: `Keeps ${kept} of each channel as transactions; best on another disk. Default: close in data_dir.`,
  });
}
