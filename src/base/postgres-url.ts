/** A host name, an address, or the folder of a unix socket, which begins with a slash. */
export type PostgresHost = { readonly host: string; readonly port: number };

/** What stands in `ledger.url`. */
export type PostgresUrl = {
  /** At least one; the first that is a primary is used. */
  readonly hosts: readonly PostgresHost[];
  readonly user: string;
  readonly database: string;
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

/** True for the folder of a socket and addresses of this machine: nobody else hears what is said there. */
export function isOnThisMachine({ host }: PostgresHost): boolean {
  return (
    host.startsWith('/') || host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
  );
}
