import type { AddressInfo, ListenOptions, Server } from 'node:net';
import { assert } from './assert.ts';
import { CodedError } from './errors.ts';
import { hostPortText } from './host-port.ts';

/**
 * Opens a port. Resolves with where it listens. Throws `address_in_use`, and `address_unusable` for whatever
 * else the system says of the address: not of this machine, no IPv6, not permitted, a name without address.
 */
export function listen(
  server: Server,
  options: ListenOptions & { readonly host: string; readonly port: number },
): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    const onError = (cause: NodeJS.ErrnoException): void => {
      server.off('listening', onListening);
      reject(listenError(cause, options));
    };
    const onListening = (): void => {
      server.off('error', onError);
      const address = server.address();
      assert(address !== null && typeof address === 'object', 'listening_has_address');
      resolve(address);
    };
    server.once('error', onError).once('listening', onListening);
    server.listen(options);
  });
}

function listenError(
  cause: NodeJS.ErrnoException,
  { host, port }: { readonly host: string; readonly port: number },
): CodedError {
  const at = hostPortText(host, port);
  if (cause.code === 'EADDRINUSE') return new CodedError('address_in_use', at, {}, { cause });
  return new CodedError('address_unusable', `${at} (${cause.code ?? cause.message})`, {}, { cause });
}
