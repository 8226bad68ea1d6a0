import { expect } from 'vitest';
import { until } from '../e2e/evidence.ts';
import type { Visit } from './visit.ts';

type Json = Readonly<Record<string, unknown>>;

/** What the API of a daemon says now. */
export async function apiOf<T = Json>(url: string, path: string): Promise<T> {
  const answer = await fetch(`${url}/api/v1${path}`);
  expect(answer.status, path).toBe(200);
  return (await answer.json()) as T;
}

/** The figures of a page, by the names they carry; each is the value that its text is made of. */
export async function figuresOf(visit: Visit): Promise<Readonly<Record<string, string>>> {
  return await visit.page.evaluate(
    `Object.fromEntries([...document.querySelectorAll('data[data-of]')]
      .map((element) => [element.dataset.of, element.value]))`,
  );
}

/** Waits until the page shows what the API says at one and the same moment, all of it. */
export async function expectFigures(
  visit: Visit,
  look: () => Promise<Readonly<Record<string, unknown>>>,
): Promise<Readonly<Record<string, string>>> {
  let shown: Readonly<Record<string, string>> = {};
  let wanted: Readonly<Record<string, string>> = {};
  await until(
    'a page that shows what the API says',
    async () => {
      wanted = Object.fromEntries(
        Object.entries(await look()).map(([name, value]) => [name, String(value)]),
      );
      shown = await figuresOf(visit);
      return Object.entries(wanted).every(([name, value]) => shown[name] === value) ? true : undefined;
    },
    30_000,
  ).catch(() => expect(shown).toMatchObject(wanted));
  return shown;
}
