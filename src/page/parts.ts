import { useState } from 'preact/hooks';
import type { ApiError } from './api.ts';
import { btc, grouped, sats, short } from './format.ts';
import { type Child, html } from './html.ts';

/** How something stands; colour repeats what a sign and a word say. */
export type Tone = 'good' | 'warn' | 'bad' | 'idle';
const SIGNS: Readonly<Record<Tone, string>> = { good: '●', warn: '▲', bad: '■', idle: '○' };

export function Mark({ tone, children }: { tone: Tone; children?: Child }) {
  return html`<span class="mark ${tone}"><span aria-hidden="true">${SIGNS[tone]}</span> ${children}</span>`;
}

/** A figure with its name, and in small what belongs to it. */
export function Tile(props: { name: string; value: Child; note?: Child; children?: Child; tone?: Tone }) {
  const { name, value, note, children, tone } = props;
  return html`<section class="tile ${tone ?? ''}">
    <h2>${name}</h2>
    <p class="value">${value}</p>
    ${note !== undefined && html`<p class="note">${note}</p>`}
    ${children}
  </section>`;
}

export function Card(props: { title?: Child; aside?: Child; children?: Child; class?: string }) {
  const { title, aside, children } = props;
  return html`<section class="card ${props.class ?? ''}">
    ${
      title !== undefined &&
      html`<header>
        <h2>${title}</h2>
        ${aside !== undefined && html`<div class="aside">${aside}</div>`}
      </header>`
    }
    ${children}
  </section>`;
}

/** Names and what they stand for, in columns; what is undefined is left out. */
export function Facts({ rows }: { rows: readonly (readonly [string, Child] | undefined)[] }) {
  return html`<dl class="facts">
    ${rows
      .filter((row) => row !== undefined)
      .map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** An amount, with the same in BTC for whoever points at it. */
export function Sats({ value }: { value: string | bigint }) {
  return html`<span class="number" title=${btc(value)}>${sats(value)}</span>`;
}

export function Count({ value }: { value: number }) {
  return html`<span class="number">${grouped(value)}</span>`;
}

/** Copies a text, and says so. */
export function Copy({ text, label }: { text: string; label: string }) {
  const [said, setSaid] = useState('');
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid('copied');
    } catch {
      setSaid('not copied: select it by hand');
    }
    setTimeout(() => setSaid(''), 2_000);
  };
  const name = `copy ${label}`;
  return html`<button type="button" class="copy" aria-label=${name} title=${name} onClick=${copy}>
    <svg viewBox="0 0 16 16" width="13" height="13" aria-hidden="true">
      <rect x="5.5" y="5.5" width="8" height="8" rx="1.5" /><path d="M10.5 5.5v-3h-8v8h3" />
    </svg><span class="said" role="status">${said}</span>
  </button>`;
}

/** An id by its ends, whole when copied or pointed at. */
export function Id({ value, label }: { value: string; label: string }) {
  return html`<span class="id">
    <code title=${value}>${short(value)}</code><${Copy} text=${value} label=${label} />
  </span>`;
}

/** What is said where nothing is to be seen, or where something went wrong. */
export function Notice({
  tone = 'idle',
  title,
  children,
}: {
  tone?: Tone;
  title: string;
  children?: Child;
}) {
  return html`<div class="notice ${tone}" role=${tone === 'bad' ? 'alert' : undefined}>
    <p><${Mark} tone=${tone}><strong>${title}</strong><//></p>
    ${children !== undefined && html`<div class="more">${children}</div>`}
  </div>`;
}

/** In the place of what could not be read, or was not yet. */
export function Failed({ error }: { error: ApiError | undefined }) {
  if (error === undefined) return html`<${Waiting} />`;
  return html`<${Notice} tone="bad" title=${`not read: ${error.message}`}>${error.hint}<//>`;
}

/** A part that is not there yet: for a moment nothing, then a word. */
export function Waiting() {
  return html`<p class="waiting" role="status">reading…</p>`;
}
