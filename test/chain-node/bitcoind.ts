import { type NodeAccess, TestNode } from './node.ts';

/** The bitcoind that `BITCOIND_RPC_URL` names (http://user:password@host:port): regtest, 28 or newer. */
export class BitcoindNode extends TestNode {
  readonly kind = 'bitcoind';

  static async connect(urlText: string): Promise<BitcoindNode> {
    const { protocol, host, username, password } = new URL(urlText);
    const access: NodeAccess = {
      url: `${protocol}//${host}`,
      user: decodeURIComponent(username),
      password: decodeURIComponent(password),
    };
    const node = new BitcoindNode(access);
    await node.grow();
    return node;
  }

  async generate(count: number): Promise<void> {
    if (count > 0) await this.call('generatetoaddress', count, TestNode.bankAddress);
  }

  async minimumSatPerKvb(): Promise<number> {
    const { mempoolminfee } = (await this.call('getmempoolinfo')) as { mempoolminfee: string };
    return Math.round(Number(mempoolminfee) * 1e8);
  }

  async restart(): Promise<void> {
    throw new Error('the suite does not restart a bitcoind');
  }
}
