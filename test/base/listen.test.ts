import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { listen } from '../../src/base/listen.ts';

const open: Server[] = [];
const server = (): Server => {
  const made = createServer();
  open.push(made);
  return made;
};
afterEach(() => {
  for (const made of open.splice(0)) made.close();
});

describe('listen', () => {
  it('says where, and with a code why not; a server may try again', async () => {
    const { port, address } = await listen(server(), { host: '127.0.0.1', port: 0 });
    expect(address).toBe('127.0.0.1');
    const second = server();
    const taken = listen(second, { host: '127.0.0.1', port });
    await expect(taken).rejects.toMatchObject({
      code: 'address_in_use',
      message: `address_in_use: 127.0.0.1:${port}`,
    });
    await listen(second, { host: '127.0.0.1', port: 0 });
    expect(second.listening).toBe(true);
  });

  it.each([
    ['192.0.2.1', 'EADDRNOTAVAIL'],
    ['2001:db8::1', /EADDRNOTAVAIL|EAFNOSUPPORT|EINVAL/],
    ['no-such-host.invalid', /ENOTFOUND|EAI_AGAIN/],
  ])('refuses an address that is not of this machine: %s', async (host, why) => {
    const refused = listen(server(), { host, port: 0 });
    await expect(refused).rejects.toMatchObject({ code: 'address_unusable' });
    await expect(refused).rejects.toThrow(why);
  });
});
