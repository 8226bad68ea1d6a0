import { readFileSync } from 'node:fs';
import { CodedError } from '../../base/errors.ts';

/** A host name, an address, or the folder of a unix socket, which begins with a slash. */
export type PostgresHost = { readonly host: string; readonly port: number };

/** What stands in `ledger.url`. */
export type PostgresUrl = {
  /** At least one; the first that is a primary is used. */
  readonly hosts: readonly PostgresHost[];
  readonly user: string;
  readonly database: string;
};

/** Where the ledger is, as its writer is told: plain data, for another thread. */
export type PostgresServer = PostgresUrl & {
  /** Whose chain in it. */
  readonly instance: string;
  readonly password: string | undefined;
  /** Undefined for plain connections. */
  readonly tls: { readonly ca?: string; readonly servername?: string } | undefined;
  /** One server without a synchronous standby will do. */
  readonly isSingle: boolean;
};

/** What the writer is told at its start. */
export type PostgresThreadData = {
  readonly server: PostgresServer;
  readonly nowMs: number;
  readonly readOnly: boolean;
};

export type PostgresOptions = {
  /** `postgres://USER@HOST[:PORT][,HOST[:PORT]...]/DATABASE` */
  readonly url: string;
  readonly instance: string;
  /** Read anew at each opening. Without one the environment says (`PGPASSWORD`), or the server asks for none. */
  readonly passwordFile?: string;
  /** Certificates (PEM) to trust instead of the system's. */
  readonly tlsCaFile?: string;
  readonly singleServer?: boolean;
};

const DEFAULT_PORT = 5432;
const URL_SHAPE = /^postgres(?:ql)?:\/\/([^@/?#:]+)@([^@/?#]+)\/([^@/?#]+)$/;
/** How a URL has to look, for whoever writes one. */
export const URL_EXAMPLE = '"postgres://USER@HOST1:5432,HOST2:5432/DATABASE", without a password';

/** Undefined where the text is no such URL; a password in it makes it none. */
export function parsePostgresUrl(text: string): PostgresUrl | undefined {
  const [, user, places, database] = URL_SHAPE.exec(text) ?? [];
  if (user === undefined || places === undefined || database === undefined) return undefined;
  const hosts = places.split(',').map(parseHost);
  const [plainUser, plainDatabase] = [decoded(user), decoded(database)];
  if (plainUser === undefined || plainDatabase === undefined) return undefined;
  return hosts.every((host) => host !== undefined)
    ? { hosts, user: plainUser, database: plainDatabase }
    : undefined;
}

function parseHost(text: string): PostgresHost | undefined {
  const [, bracketed, plain, port] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? decoded(plain ?? '');
  const number = port === undefined ? DEFAULT_PORT : Number(port);
  if (host === undefined || host === '' || number < 1 || number > 65_535) return undefined;
  return { host, port: number };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** True for the folder of a socket and for addresses of this machine: what is said there nobody else hears. */
export function isOnThisMachine({ host }: PostgresHost): boolean {
  return (
    host.startsWith('/') || host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
  );
}

/**
 * The server with its secrets read. Connections beyond this machine are always TLS, and the certificate has to
 * be of the host. Throws `ledger_io` where a file cannot be read.
 */
export function readServer(options: PostgresOptions): PostgresServer {
  const url = parsePostgresUrl(options.url);
  if (url === undefined) throw new CodedError('usage', `the ledger is not ${URL_EXAMPLE}`);
  const { passwordFile, tlsCaFile, instance, singleServer = false } = options;
  const isPlain = tlsCaFile === undefined && url.hosts.every(isOnThisMachine);
  return {
    ...url,
    instance,
    password: passwordFile === undefined ? undefined : read(passwordFile).trim(),
    tls: isPlain ? undefined : tlsCaFile === undefined ? {} : { ca: read(tlsCaFile) },
    isSingle: singleServer,
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
