import { parseJson } from '../../src/devnet/net/json-text.ts';

export type RpcReply = {
  readonly jsonrpc: string;
  readonly id: unknown;
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown };
};

/** Posts a text and returns what came back, unparsed. */
export async function postText(url: string, body: string): Promise<{ status: number; text: string }> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(url, { method: 'POST', headers, body });
  return { status: response.status, text: await response.text() };
}

export async function post(url: string, method: string, params: unknown = []): Promise<RpcReply> {
  const { text } = await postText(url, JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }));
  return parseJson(text) as RpcReply;
}

/** The result; throws when there is an error instead. */
export async function callRpc(url: string, method: string, ...params: unknown[]): Promise<unknown> {
  const { result, error } = await post(url, method, params);
  if (error !== undefined) throw new Error(`${error.code} ${error.message}`);
  return result;
}

/** Node's own WebSocket, with what came collected. */
export class WebSocketClient {
  readonly messages: Record<string, unknown>[] = [];
  closeCode: number | undefined;
  readonly socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.addEventListener('message', (event) => {
      this.messages.push(parseJson(String(event.data)) as Record<string, unknown>);
    });
    socket.addEventListener('close', (event) => {
      this.closeCode = event.code;
    });
  }

  static connect(url: string): Promise<WebSocketClient> {
    const socket = new WebSocket(url.replace('http:', 'ws:'));
    const client = new WebSocketClient(socket);
    return new Promise((resolve, reject) => {
      socket.addEventListener('open', () => resolve(client));
      socket.addEventListener('error', () => reject(new Error('no WebSocket')));
    });
  }

  async call(id: number, method: string, params: readonly unknown[] = []): Promise<RpcReply> {
    this.socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    const isReply = (message: Record<string, unknown>): boolean => message['id'] === id;
    await this.until(() => this.messages.some(isReply));
    return this.messages.find(isReply) as RpcReply;
  }

  notifications(): { readonly subscription: unknown; readonly result: unknown }[] {
    return this.messages
      .filter((message) => message['method'] === 'subscribebead')
      .map((message) => message['params'] as { subscription: unknown; result: unknown });
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
