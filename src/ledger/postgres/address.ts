import { readFileSync } from 'node:fs';
import { CodedError } from '../../base/errors.ts';
import {
  isOnThisMachine,
  type PostgresUrl,
  parsePostgresUrl,
  URL_EXAMPLE,
} from '../../base/postgres-url.ts';

/** Where the ledger is, as its writer is told: plain data, for another thread. */
export type PostgresServer = PostgresUrl & {
  /** Whose chain in it. */
  readonly instance: string;
  readonly password: string | undefined;
  /** Undefined for plain connections. */
  readonly tls: { readonly ca?: string; readonly servername?: string } | undefined;
  /** One server without a synchronous standby will do. */
  readonly isSingle: boolean;
  /** A server ends the session of a writer that is silent for so long; undefined: it never does. */
  readonly standbyMs: number | undefined;
};

/** What the writer is told at its start. */
export type PostgresThreadData = {
  readonly server: PostgresServer;
  readonly nowMs: number;
  readonly readOnly: boolean;
  /** Of a file whose lock is held, too. */
  readonly lockPath: string | undefined;
};

export type PostgresOptions = {
  /** `postgres://USER@HOST[:PORT][,HOST[:PORT]...]/DATABASE` */
  readonly url: string;
  readonly instance: string;
  /** Without one the environment says (`PGPASSWORD`), or the server asks for none. */
  readonly passwordFile?: string | undefined;
  /** Certificates (PEM) to trust instead of the system's. */
  readonly tlsCaFile?: string | undefined;
  readonly singleServer?: boolean;
  readonly standbyMs?: number | undefined;
};

/**
 * The server with its secrets read. Connections beyond this machine are always TLS, and the certificate has
 * to be of the host. Throws `ledger_io` where a file cannot be read.
 */
export function readServer(options: PostgresOptions): PostgresServer {
  const url = parsePostgresUrl(options.url);
  if (url === undefined) throw new CodedError('usage', `the ledger is not ${URL_EXAMPLE}`);
  const { passwordFile, tlsCaFile, instance, singleServer = false, standbyMs } = options;
  const isPlain = tlsCaFile === undefined && url.hosts.every(isOnThisMachine);
  return {
    ...url,
    instance,
    password: passwordFile === undefined ? undefined : read(passwordFile).trim(),
    tls: isPlain ? undefined : tlsCaFile === undefined ? {} : { ca: read(tlsCaFile) },
    isSingle: singleServer,
    standbyMs,
  };
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CodedError('ledger_io', `${file} cannot be read (${code})`, {}, { cause: error });
  }
}
