import { once } from 'node:events';
import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { SharedReads } from '../../src/downstream/io/shared-reads.ts';
import { accepted } from './accepted.ts';

it('gives each connection what it was sent, in order, whatever the others were sent', async () => {
  const got = ['', ''];
  const reads = new SharedReads<number>((index, chunk) => (got[index] += chunk.toString('latin1')));
  const pairs = [await accepted(), await accepted()];
  pairs.forEach(({ ours }, index) => {
    expect(reads.take(ours, index)).toBe(true);
    ours.resume();
  });
  const sent = ['', ''];
  for (const size of [1, 10, 3000, 200_000, 7]) {
    pairs.forEach(({ theirs }, index) => {
      const text = `${index}${size}`.padEnd(size, index === 0 ? 'a' : 'b');
      sent[index] += text;
      theirs.write(text);
    });
    while (got.some((text, index) => text.length < sent[index]!.length))
      await new Promise((resolve) => setImmediate(resolve));
  }
  expect(got[0] === sent[0] && got[1] === sent[1]).toBe(true);
});

it('leaves pausing, ending and being counted by the server as they are', async () => {
  const { ours, theirs } = await accepted();
  let got = 0;
  const reads = new SharedReads<Socket>((socket, chunk) => {
    got += chunk.length;
    socket.pause();
  });
  expect(reads.take(ours, ours)).toBe(true);
  ours.resume();
  theirs.write('a');
  while (got === 0) await new Promise((resolve) => setImmediate(resolve));
  theirs.write('b');
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(got).toBe(1);
  ours.resume();
  while (got === 1) await new Promise((resolve) => setImmediate(resolve));
  const closed = once(ours, 'close');
  ours.resume();
  theirs.end();
  await closed;
  expect(got).toBe(2);
});

it('leaves a socket alone that was read from, or is more than a plain one', async () => {
  const { ours, theirs } = await accepted({ pauseOnConnect: false });
  theirs.write('early');
  const [chunk] = (await once(ours, 'data')) as [Buffer];
  expect(chunk.toString()).toBe('early');
  expect(new SharedReads<null>(() => {}).take(ours, null)).toBe(false);
});
