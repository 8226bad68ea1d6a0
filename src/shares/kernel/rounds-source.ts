const LETTERS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
/** Suffixes of lanes 0 to 3 and 4 to 7. */
const HALVES = ['L', 'H'];

const HEAD = `/*
 * SHA-256 compressions (FIPS 180-4, 6.2.2) of eight messages abreast, written by \`rounds-source.ts\`. A word
 * of all eight is two v128 side by side in memory.
 */

@inline function add(x: v128, y: v128): v128 { return i32x4.add(x, y); }
@inline function xor(x: v128, y: v128): v128 { return v128.xor(x, y); }
@inline function rotr(x: v128, n: i32): v128 { return v128.or(i32x4.shr_u(x, n), i32x4.shl(x, 32 - n)); }
@inline function sum0(x: v128): v128 { return xor(xor(rotr(x, 2), rotr(x, 13)), rotr(x, 22)); }
@inline function sum1(x: v128): v128 { return xor(xor(rotr(x, 6), rotr(x, 11)), rotr(x, 25)); }
@inline function sigma0(x: v128): v128 { return xor(xor(rotr(x, 7), rotr(x, 18)), i32x4.shr_u(x, 3)); }
@inline function sigma1(x: v128): v128 { return xor(xor(rotr(x, 17), rotr(x, 19)), i32x4.shr_u(x, 10)); }
@inline function choose(e: v128, f: v128, g: v128, sum: v128): v128 {
  return add(sum, xor(g, v128.and(e, xor(f, g))));
}
@inline function majority(b: v128, y: v128, z: v128): v128 { return xor(b, v128.and(y, z)); }
`;

/**
 * Schedule words 16 to 31 of a message of 32 bytes: its words 8 to 15 are 0x80000000, zeros, 256, so that
 * half of the steps are constant or short.
 */
const DIGEST_STEPS = [
  'w0 = add(w0, sigma0(w1))',
  'w1 = add(add(w1, sigma0(w2)), i32x4.splat(0x00a00000))',
  'w2 = add(add(w2, sigma0(w3)), sigma1(w0))',
  'w3 = add(add(w3, sigma0(w4)), sigma1(w1))',
  'w4 = add(add(w4, sigma0(w5)), sigma1(w2))',
  'w5 = add(add(w5, sigma0(w6)), sigma1(w3))',
  'w6 = add(add(w6, sigma0(w7)), add(i32x4.splat(256), sigma1(w4)))',
  'w7 = add(add(w7, i32x4.splat(0x11002000)), add(w0, sigma1(w5)))',
  'let w8 = add(i32x4.splat(0x80000000), add(w1, sigma1(w6)))',
  'let w9 = add(w2, sigma1(w7))',
  'let w10 = add(w3, sigma1(w8))',
  'let w11 = add(w4, sigma1(w9))',
  'let w12 = add(w5, sigma1(w10))',
  'let w13 = add(w6, sigma1(w11))',
  'let w14 = add(i32x4.splat(0x00400022), add(w7, sigma1(w12)))',
  'let w15 = add(add(i32x4.splat(256), sigma0(w0)), add(w8, sigma1(w13)))',
];

/**
 * AssemblyScript of the compressions. Every statement stands twice, for lanes 0 to 3 and for 4 to 7, and
 * loads and stores of the halves are neighbours: so the engine can make one instruction of 256 bits of the
 * two (`web-assembly.ts`). It moves a load over others only where it has to check the bounds of all of them,
 * so that tables come as parameters: of a constant address it knows.
 */
export function roundsSource(): string {
  const compressWords = [
    ...loads('from'),
    ...count(16, (i) => `let w${i} = words[${i}]`),
    ...count(16, (i) => round(i, `add(w${i}, constants[${i}])`)).flat(),
    `for (let k = constants + 512; k < constants + 2048; k += 512) {`,
    ...count(16, (i) => [step(i), ...round(i, `add(w${i}, k[${i}])`)]).flat(),
    '}',
    ...stores('from'),
  ];
  const compressSchedule = [
    ...loads('from'),
    'for (let k = schedule, end = schedule + 2048; k < end; k += 512) {',
    ...count(16, (i) => round(i, `k[${i}]`)).flat(),
    '}',
    ...stores('from'),
  ];
  const compressDigest = [
    ...loads('initial'),
    ...count(8, (i) => `let w${i} = digest[${i}]`),
    ...count(8, (i) => round(i, `add(w${i}, constants[${i}])`)).flat(),
    ...count(8, (i) => round(i, `padding[${i}]`)).flat(),
    ...DIGEST_STEPS.flatMap((text, i) => [text, ...round(i, `add(w${i}, constants[${i + 16}])`)]),
    'for (let k = constants + 1024; k < constants + 2048; k += 512) {',
    ...count(16, (i) => [step(i), ...round(i, `add(w${i}, k[${i}])`)]).flat(),
    '}',
    ...stores('initial'),
  ];
  return [
    HEAD,
    '/** Compresses the 16 words at `words`. `from` and `to` (eight words) may be the same. */',
    define('compressWords', ['from', 'to', 'words', 'constants'], compressWords),
    '/** Compresses a block whose 64 words, each with its round constant added, are at `schedule`. */',
    define('compressSchedule', ['from', 'to', 'schedule'], compressSchedule),
    '/** The second SHA-256 of a double one: hashes the 32 bytes at `digest` from the initial value. */',
    define('compressDigest', ['digest', 'to', 'initial', 'constants', 'padding'], compressDigest),
  ].join('\n');
}

function count<T>(times: number, of: (index: number) => T): T[] {
  return Array.from({ length: times }, (_, index) => of(index));
}

function define(name: string, addresses: readonly string[], statements: readonly string[]): string {
  const parameters = addresses.map((address) => `${address}: usize`).join(', ');
  return `export function ${name}(${parameters}): void {\n${statements.map(abreast).join('\n')}\n}\n`;
}

/** For both halves: names of words get a suffix, and `address[i]` is the half of the i-th word there. */
function abreast(statement: string): string {
  if (statement.startsWith('for') || statement === '}') return statement;
  return HALVES.map((half, index) => {
    const named = statement.replace(/\b([a-hstyz]|w\d+)\b/g, `$1${half}`);
    const offset = (word: string): number => Number(word) * 32 + index * 16;
    return named
      .replace(/^to\[(\d+)\] = (\w+)/, (_, word, value) => `v128.store(to, ${value}, ${offset(word)})`)
      .replace(/\b(\w+)\[(\d+)\]/g, (_, address, word) => `v128.load(${address}, ${offset(word)})`)
      .concat(';');
  }).join('\n');
}

/**
 * The new `a` and the new `e` are summed so that the values of the round before (`a` and `e`) enter last: one
 * round waits for another through five operations instead of seven. Variables are renamed from round to
 * round instead of moved. `y` and `z` carry a^b of this and of the last round: maj(a, b, c) = b ^ ((a^b) &
 * (b^c)).
 */
function round(index: number, word: string): string[] {
  const [a, b, , d, e, f, g, h] = count(8, (at) => LETTERS[(at - index + 64) % 8]!);
  const [y, z] = index % 2 === 0 ? ['y', 'z'] : ['z', 'y'];
  return [
    `t = choose(${e}, ${f}, ${g}, add(${h}, ${word}))`,
    `s = sum1(${e})`,
    `${y} = xor(${a}, ${b})`,
    `${h} = add(add(s, add(t, majority(${b}, ${y}, ${z}))), sum0(${a}))`,
    `${d} = add(add(${d}, t), s)`,
  ];
}

/** The next word of the message schedule takes the place of the one sixteen before. */
function step(index: number): string {
  const word = (ahead: number): string => `w${(index + ahead) % 16}`;
  return `${word(0)} = add(add(${word(0)}, sigma0(${word(1)})), add(${word(9)}, sigma1(${word(14)})))`;
}

function loads(from: string): string[] {
  const letters = LETTERS.map((letter, word) => `let ${letter} = ${from}[${word}]`);
  return [...letters, 'let t: v128', 'let s: v128', 'let y: v128', 'let z = xor(b, c)'];
}

/** All loads before the first store, so that neither stands between the halves of the other. */
function stores(from: string): string[] {
  const sums = LETTERS.map((letter, word) => `${letter} = add(${letter}, ${from}[${word}])`);
  return [...sums, ...LETTERS.map((letter, word) => `to[${word}] = ${letter}`)];
}
