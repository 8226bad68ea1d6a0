import { type Answer, ask } from './api.ts';
import { html } from './html.ts';
import { usePolled } from './live.ts';
import { Card, Copy } from './parts.ts';
import { Qr } from './qr.ts';

type System = Answer<'proxy', 'getSystem'>;

/** Where miners connect, as they spell it: by the name that this page was opened with. */
export function stratumUrl(listener: string, pageHost: string): string {
  const at = listener.lastIndexOf(':');
  const [host, port] = [listener.slice(0, at), listener.slice(at + 1)];
  const isAny = ['0.0.0.0', '[::]', '::'].includes(host);
  return `stratum+tcp://${isAny ? pageHost : host}:${port}`;
}

/** What to do while no miner has come. */
export function Guide() {
  const system = usePolled((signal) => ask<System>('/system', signal), 10_000);
  const listener = system.value?.listeners.find(({ name }) => name === 'stratum');
  if (listener === undefined)
    return html`<${Card} title="No miner yet"><p>Waiting for the listener.</p><//>`;
  const url = stratumUrl(listener.at, location.hostname);
  const isLocal = /\/\/(?:127\.|localhost|\[::1\])/.test(url);
  return html`<${Card} title="No miner is connected yet">
    <div class="guide">
      <ol>
        <li>On the page of the miner, set as its first pool:
          <p class="connection"><code>${url}</code><${Copy} text=${url} label="the connection string" /></p></li>
        <li>Worker: a name of your choice such as <code>farm.rig1</code>; the part before the dot groups machines.
          Password: anything, such as <code>x</code>.</li>
        <li>Save. The miner is in this table within seconds, and its first share soon after.</li>
      </ol>
      <${Qr} text=${url} label=${`QR code of ${url}`} />
    </div>
    ${
      isLocal &&
      html`<p class="note">This port is open to this machine alone: for miners of the network set
        <code>stratum.listen = "0.0.0.0:${url.slice(url.lastIndexOf(':') + 1)}"</code>
        and start the proxy again.</p>`
    }
    <p class="note">Nothing comes? See that no firewall holds the port, and the warnings under
      <a href="#/system">System</a>.</p>
  <//>`;
}
