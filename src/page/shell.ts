import { render } from 'preact';
import { useCallback, useEffect, useState } from 'preact/hooks';
import { keepToken, token } from './api.ts';
import { clock, hashrate } from './format.ts';
import { type Child, html } from './html.ts';
import {
  type Connection,
  type Late,
  LateContext,
  type Live,
  LiveContext,
  useEvents,
  useNow,
} from './live.ts';
import { Locked } from './locked.ts';
import { Mark, Notice, type Tone } from './parts.ts';

/** A tab of the page of a daemon. */
export type Tab = {
  /** In the address, after `#/`. */
  readonly path: string;
  readonly title: string;
  readonly View: () => Child;
};

export type PageOptions = {
  readonly daemon: string;
  readonly tabs: readonly Tab[];
  /** The hashrate that the title of the page shows, from a sample. */
  readonly rateOf?: (sample: NonNullable<Live['sample']>) => number;
  /** What is wrong, in a few words, for the title; from a sample. */
  readonly alertOf?: (sample: NonNullable<Live['sample']>) => string | undefined;
};

/** Shows the page. */
export function startPage(options: PageOptions): void {
  render(html`<${Shell} ...${options} />`, document.body);
}

function Shell({ daemon, tabs, rateOf, alertOf }: PageOptions) {
  const [held, setHeld] = useState(token());
  const path = useHash();
  const live = useEvents(held);
  const tab = tabs.find((each) => each.path === path) ?? tabs[0]!;
  const rate = live.sample === undefined ? undefined : rateOf?.(live.sample);
  const alert = live.connection === 'stale' ? 'stale' : live.sample && alertOf?.(live.sample);
  useEffect(() => {
    const mark = alert === undefined ? '' : '▲ ';
    document.title = `${mark}${rate === undefined ? '' : `${hashrate(rate)} · `}${tab.title} · Sharestream`;
  }, [alert, rate, tab]);
  const take = (value: string): void => {
    keepToken(value);
    setHeld(value === '' ? null : value);
  };
  return html`<${LiveContext.Provider} value=${live}>
    <a class="skip" href="#main" onClick=${toMain}>to the content</a>
    <header class="top">
      <div class="brand">
        <img src="/page/icon.svg" alt="" width="26" height="26" />
        <strong>Sharestream</strong> <span>${daemon}</span>
      </div>
      ${
        rate !== undefined &&
        html`<div class="rate number" title="over the last minute">${hashrate(rate)}</div>`
      }
      <${Heard} live=${live} />
      <nav aria-label="tabs">
        ${tabs.map(
          (each) => html`<a key=${each.path} href="#/${each.path}"
            aria-current=${each === tab ? 'page' : undefined}>${each.title}</a>`,
        )}
      </nav>
    </header>
    <main id="main" tabindex="-1" class=${live.connection === 'stale' ? 'stale' : ''}>
      <h1 class="unseen">${tab.title}</h1>
      ${
        live.connection === 'locked'
          ? html`<${Locked} wasGiven=${held !== null} take=${take} />`
          : html`<${Timely} key=${tab.path} View=${tab.View} />`
      }
    </main>
    <footer>
      <a href="/metrics">metrics</a> <a href="/readyz?verbose">readiness</a> <a href="/api/v1/openapi.json">API</a>
      ${
        held !== null &&
        html`<button type="button" class="plain" onClick=${() => take('')}>forget the token</button>`
      }
    </footer>
  <//>`;
}

/** A tab, and where something of it is old, since when. */
function Timely({ View }: Pick<Tab, 'View'>) {
  const [all, setAll] = useState<ReadonlyMap<object, Late>>(new Map());
  const tell = useCallback((key: object, late: Late | undefined) => {
    setAll((before) => {
      const after = new Map(before);
      if (late === undefined) after.delete(key);
      else after.set(key, late);
      return after;
    });
  }, []);
  const [oldest] = [...all.values()].toSorted((a, b) => a.asOfMs - b.asOfMs);
  return html`<${LateContext.Provider} value=${tell}>
    ${
      oldest !== undefined &&
      html`<${Notice} tone="warn" title=${`data of ${clock(oldest.asOfMs)}`}>
        Not read since: ${oldest.error.message}; ${oldest.error.hint}<//>`
    }
    <${View} />
  <//>`;
}

function toMain(event: Event): void {
  event.preventDefault();
  document.getElementById('main')?.focus();
}

const HEARD: Readonly<Record<Connection, { readonly tone: Tone; readonly says: string }>> = {
  connecting: { tone: 'idle', says: 'connecting' },
  live: { tone: 'good', says: 'as of' },
  stale: { tone: 'warn', says: 'stale data, as of' },
  locked: { tone: 'bad', says: 'token needed' },
};

/** How old what is shown is. */
function Heard({ live: { connection, asOfMs } }: { live: Live }) {
  const now = useNow();
  const { tone, says } = HEARD[connection];
  const at = connection === 'live' ? Math.max(asOfMs, now - 1_000) : asOfMs;
  const time = connection === 'locked' || at === 0 ? '' : clock(at);
  return html`<div class="heard"><${Mark} tone=${tone}>${says} <span class="number">${time}</span><//></div>`;
}

function useHash(): string {
  const read = (): string => location.hash.replace(/^#\/?/, '').split('?')[0]!;
  const [path, setPath] = useState(read);
  useEffect(() => {
    const look = (): void => setPath(read());
    addEventListener('hashchange', look);
    return () => removeEventListener('hashchange', look);
  }, []);
  return path;
}
