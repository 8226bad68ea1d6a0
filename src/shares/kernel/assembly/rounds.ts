/*
 * SHA-256 compressions (FIPS 180-4, 6.2.2) of four messages abreast: a v128 holds one word of each of the
 * four.
 *
 * In a round the new `a` and the new `e` are summed so that the values of the round before (`a` and `e`)
 * enter last: one round waits for another through five operations instead of seven. Variables are renamed
 * from round to round instead of moved. `y` and `z` carry a^b of this and of the last round: maj(a, b, c)
 * = b ^ ((a^b) & (b^c)).
 */

import { DIGEST_ROUNDS, IV, K, WORDS } from './tables';

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

/** Compresses the 16 words at WORDS. `from` and `to` (eight v128 each) may be the same. */
export function compressWords(from: usize, to: usize): void {
  let a = v128.load(from, 0), b = v128.load(from, 16);
  let c = v128.load(from, 32), d = v128.load(from, 48);
  let e = v128.load(from, 64), f = v128.load(from, 80);
  let g = v128.load(from, 96), h = v128.load(from, 112);
  let t: v128, s: v128, y: v128, z = xor(b, c);
  let w0 = v128.load(WORDS, 0), w1 = v128.load(WORDS, 16);
  let w2 = v128.load(WORDS, 32), w3 = v128.load(WORDS, 48);
  let w4 = v128.load(WORDS, 64), w5 = v128.load(WORDS, 80);
  let w6 = v128.load(WORDS, 96), w7 = v128.load(WORDS, 112);
  let w8 = v128.load(WORDS, 128), w9 = v128.load(WORDS, 144);
  let w10 = v128.load(WORDS, 160), w11 = v128.load(WORDS, 176);
  let w12 = v128.load(WORDS, 192), w13 = v128.load(WORDS, 208);
  let w14 = v128.load(WORDS, 224), w15 = v128.load(WORDS, 240);
  t = choose(e, f, g, add(h, add(w0, v128.load(K, 0)))); s = sum1(e); y = xor(a, b);
  h = add(add(s, add(t, majority(b, y, z))), sum0(a)); d = add(add(d, t), s);
  t = choose(d, e, f, add(g, add(w1, v128.load(K, 16)))); s = sum1(d); z = xor(h, a);
  g = add(add(s, add(t, majority(a, z, y))), sum0(h)); c = add(add(c, t), s);
  t = choose(c, d, e, add(f, add(w2, v128.load(K, 32)))); s = sum1(c); y = xor(g, h);
  f = add(add(s, add(t, majority(h, y, z))), sum0(g)); b = add(add(b, t), s);
  t = choose(b, c, d, add(e, add(w3, v128.load(K, 48)))); s = sum1(b); z = xor(f, g);
  e = add(add(s, add(t, majority(g, z, y))), sum0(f)); a = add(add(a, t), s);
  t = choose(a, b, c, add(d, add(w4, v128.load(K, 64)))); s = sum1(a); y = xor(e, f);
  d = add(add(s, add(t, majority(f, y, z))), sum0(e)); h = add(add(h, t), s);
  t = choose(h, a, b, add(c, add(w5, v128.load(K, 80)))); s = sum1(h); z = xor(d, e);
  c = add(add(s, add(t, majority(e, z, y))), sum0(d)); g = add(add(g, t), s);
  t = choose(g, h, a, add(b, add(w6, v128.load(K, 96)))); s = sum1(g); y = xor(c, d);
  b = add(add(s, add(t, majority(d, y, z))), sum0(c)); f = add(add(f, t), s);
  t = choose(f, g, h, add(a, add(w7, v128.load(K, 112)))); s = sum1(f); z = xor(b, c);
  a = add(add(s, add(t, majority(c, z, y))), sum0(b)); e = add(add(e, t), s);
  t = choose(e, f, g, add(h, add(w8, v128.load(K, 128)))); s = sum1(e); y = xor(a, b);
  h = add(add(s, add(t, majority(b, y, z))), sum0(a)); d = add(add(d, t), s);
  t = choose(d, e, f, add(g, add(w9, v128.load(K, 144)))); s = sum1(d); z = xor(h, a);
  g = add(add(s, add(t, majority(a, z, y))), sum0(h)); c = add(add(c, t), s);
  t = choose(c, d, e, add(f, add(w10, v128.load(K, 160)))); s = sum1(c); y = xor(g, h);
  f = add(add(s, add(t, majority(h, y, z))), sum0(g)); b = add(add(b, t), s);
  t = choose(b, c, d, add(e, add(w11, v128.load(K, 176)))); s = sum1(b); z = xor(f, g);
  e = add(add(s, add(t, majority(g, z, y))), sum0(f)); a = add(add(a, t), s);
  t = choose(a, b, c, add(d, add(w12, v128.load(K, 192)))); s = sum1(a); y = xor(e, f);
  d = add(add(s, add(t, majority(f, y, z))), sum0(e)); h = add(add(h, t), s);
  t = choose(h, a, b, add(c, add(w13, v128.load(K, 208)))); s = sum1(h); z = xor(d, e);
  c = add(add(s, add(t, majority(e, z, y))), sum0(d)); g = add(add(g, t), s);
  t = choose(g, h, a, add(b, add(w14, v128.load(K, 224)))); s = sum1(g); y = xor(c, d);
  b = add(add(s, add(t, majority(d, y, z))), sum0(c)); f = add(add(f, t), s);
  t = choose(f, g, h, add(a, add(w15, v128.load(K, 240)))); s = sum1(f); z = xor(b, c);
  a = add(add(s, add(t, majority(c, z, y))), sum0(b)); e = add(add(e, t), s);
  for (let k = K + 256; k < K + 1024; k += 256) {
    w0 = add(add(w0, sigma0(w1)), add(w9, sigma1(w14)));
    t = choose(e, f, g, add(h, add(w0, v128.load(k, 0)))); s = sum1(e); y = xor(a, b);
    h = add(add(s, add(t, majority(b, y, z))), sum0(a)); d = add(add(d, t), s);
    w1 = add(add(w1, sigma0(w2)), add(w10, sigma1(w15)));
    t = choose(d, e, f, add(g, add(w1, v128.load(k, 16)))); s = sum1(d); z = xor(h, a);
    g = add(add(s, add(t, majority(a, z, y))), sum0(h)); c = add(add(c, t), s);
    w2 = add(add(w2, sigma0(w3)), add(w11, sigma1(w0)));
    t = choose(c, d, e, add(f, add(w2, v128.load(k, 32)))); s = sum1(c); y = xor(g, h);
    f = add(add(s, add(t, majority(h, y, z))), sum0(g)); b = add(add(b, t), s);
    w3 = add(add(w3, sigma0(w4)), add(w12, sigma1(w1)));
    t = choose(b, c, d, add(e, add(w3, v128.load(k, 48)))); s = sum1(b); z = xor(f, g);
    e = add(add(s, add(t, majority(g, z, y))), sum0(f)); a = add(add(a, t), s);
    w4 = add(add(w4, sigma0(w5)), add(w13, sigma1(w2)));
    t = choose(a, b, c, add(d, add(w4, v128.load(k, 64)))); s = sum1(a); y = xor(e, f);
    d = add(add(s, add(t, majority(f, y, z))), sum0(e)); h = add(add(h, t), s);
    w5 = add(add(w5, sigma0(w6)), add(w14, sigma1(w3)));
    t = choose(h, a, b, add(c, add(w5, v128.load(k, 80)))); s = sum1(h); z = xor(d, e);
    c = add(add(s, add(t, majority(e, z, y))), sum0(d)); g = add(add(g, t), s);
    w6 = add(add(w6, sigma0(w7)), add(w15, sigma1(w4)));
    t = choose(g, h, a, add(b, add(w6, v128.load(k, 96)))); s = sum1(g); y = xor(c, d);
    b = add(add(s, add(t, majority(d, y, z))), sum0(c)); f = add(add(f, t), s);
    w7 = add(add(w7, sigma0(w8)), add(w0, sigma1(w5)));
    t = choose(f, g, h, add(a, add(w7, v128.load(k, 112)))); s = sum1(f); z = xor(b, c);
    a = add(add(s, add(t, majority(c, z, y))), sum0(b)); e = add(add(e, t), s);
    w8 = add(add(w8, sigma0(w9)), add(w1, sigma1(w6)));
    t = choose(e, f, g, add(h, add(w8, v128.load(k, 128)))); s = sum1(e); y = xor(a, b);
    h = add(add(s, add(t, majority(b, y, z))), sum0(a)); d = add(add(d, t), s);
    w9 = add(add(w9, sigma0(w10)), add(w2, sigma1(w7)));
    t = choose(d, e, f, add(g, add(w9, v128.load(k, 144)))); s = sum1(d); z = xor(h, a);
    g = add(add(s, add(t, majority(a, z, y))), sum0(h)); c = add(add(c, t), s);
    w10 = add(add(w10, sigma0(w11)), add(w3, sigma1(w8)));
    t = choose(c, d, e, add(f, add(w10, v128.load(k, 160)))); s = sum1(c); y = xor(g, h);
    f = add(add(s, add(t, majority(h, y, z))), sum0(g)); b = add(add(b, t), s);
    w11 = add(add(w11, sigma0(w12)), add(w4, sigma1(w9)));
    t = choose(b, c, d, add(e, add(w11, v128.load(k, 176)))); s = sum1(b); z = xor(f, g);
    e = add(add(s, add(t, majority(g, z, y))), sum0(f)); a = add(add(a, t), s);
    w12 = add(add(w12, sigma0(w13)), add(w5, sigma1(w10)));
    t = choose(a, b, c, add(d, add(w12, v128.load(k, 192)))); s = sum1(a); y = xor(e, f);
    d = add(add(s, add(t, majority(f, y, z))), sum0(e)); h = add(add(h, t), s);
    w13 = add(add(w13, sigma0(w14)), add(w6, sigma1(w11)));
    t = choose(h, a, b, add(c, add(w13, v128.load(k, 208)))); s = sum1(h); z = xor(d, e);
    c = add(add(s, add(t, majority(e, z, y))), sum0(d)); g = add(add(g, t), s);
    w14 = add(add(w14, sigma0(w15)), add(w7, sigma1(w12)));
    t = choose(g, h, a, add(b, add(w14, v128.load(k, 224)))); s = sum1(g); y = xor(c, d);
    b = add(add(s, add(t, majority(d, y, z))), sum0(c)); f = add(add(f, t), s);
    w15 = add(add(w15, sigma0(w0)), add(w8, sigma1(w13)));
    t = choose(f, g, h, add(a, add(w15, v128.load(k, 240)))); s = sum1(f); z = xor(b, c);
    a = add(add(s, add(t, majority(c, z, y))), sum0(b)); e = add(add(e, t), s);
  }
  v128.store(to, add(a, v128.load(from, 0)), 0);
  v128.store(to, add(b, v128.load(from, 16)), 16);
  v128.store(to, add(c, v128.load(from, 32)), 32);
  v128.store(to, add(d, v128.load(from, 48)), 48);
  v128.store(to, add(e, v128.load(from, 64)), 64);
  v128.store(to, add(f, v128.load(from, 80)), 80);
  v128.store(to, add(g, v128.load(from, 96)), 96);
  v128.store(to, add(h, v128.load(from, 112)), 112);
}

/** Compresses a block whose 64 words, each with its round constant added, are at `schedule` (64 v128). */
export function compressSchedule(from: usize, to: usize, schedule: usize): void {
  let a = v128.load(from, 0), b = v128.load(from, 16);
  let c = v128.load(from, 32), d = v128.load(from, 48);
  let e = v128.load(from, 64), f = v128.load(from, 80);
  let g = v128.load(from, 96), h = v128.load(from, 112);
  let t: v128, s: v128, y: v128, z = xor(b, c);
  for (let k = schedule, end = schedule + 1024; k < end; k += 256) {
    t = choose(e, f, g, add(h, v128.load(k, 0))); s = sum1(e); y = xor(a, b);
    h = add(add(s, add(t, majority(b, y, z))), sum0(a)); d = add(add(d, t), s);
    t = choose(d, e, f, add(g, v128.load(k, 16))); s = sum1(d); z = xor(h, a);
    g = add(add(s, add(t, majority(a, z, y))), sum0(h)); c = add(add(c, t), s);
    t = choose(c, d, e, add(f, v128.load(k, 32))); s = sum1(c); y = xor(g, h);
    f = add(add(s, add(t, majority(h, y, z))), sum0(g)); b = add(add(b, t), s);
    t = choose(b, c, d, add(e, v128.load(k, 48))); s = sum1(b); z = xor(f, g);
    e = add(add(s, add(t, majority(g, z, y))), sum0(f)); a = add(add(a, t), s);
    t = choose(a, b, c, add(d, v128.load(k, 64))); s = sum1(a); y = xor(e, f);
    d = add(add(s, add(t, majority(f, y, z))), sum0(e)); h = add(add(h, t), s);
    t = choose(h, a, b, add(c, v128.load(k, 80))); s = sum1(h); z = xor(d, e);
    c = add(add(s, add(t, majority(e, z, y))), sum0(d)); g = add(add(g, t), s);
    t = choose(g, h, a, add(b, v128.load(k, 96))); s = sum1(g); y = xor(c, d);
    b = add(add(s, add(t, majority(d, y, z))), sum0(c)); f = add(add(f, t), s);
    t = choose(f, g, h, add(a, v128.load(k, 112))); s = sum1(f); z = xor(b, c);
    a = add(add(s, add(t, majority(c, z, y))), sum0(b)); e = add(add(e, t), s);
    t = choose(e, f, g, add(h, v128.load(k, 128))); s = sum1(e); y = xor(a, b);
    h = add(add(s, add(t, majority(b, y, z))), sum0(a)); d = add(add(d, t), s);
    t = choose(d, e, f, add(g, v128.load(k, 144))); s = sum1(d); z = xor(h, a);
    g = add(add(s, add(t, majority(a, z, y))), sum0(h)); c = add(add(c, t), s);
    t = choose(c, d, e, add(f, v128.load(k, 160))); s = sum1(c); y = xor(g, h);
    f = add(add(s, add(t, majority(h, y, z))), sum0(g)); b = add(add(b, t), s);
    t = choose(b, c, d, add(e, v128.load(k, 176))); s = sum1(b); z = xor(f, g);
    e = add(add(s, add(t, majority(g, z, y))), sum0(f)); a = add(add(a, t), s);
    t = choose(a, b, c, add(d, v128.load(k, 192))); s = sum1(a); y = xor(e, f);
    d = add(add(s, add(t, majority(f, y, z))), sum0(e)); h = add(add(h, t), s);
    t = choose(h, a, b, add(c, v128.load(k, 208))); s = sum1(h); z = xor(d, e);
    c = add(add(s, add(t, majority(e, z, y))), sum0(d)); g = add(add(g, t), s);
    t = choose(g, h, a, add(b, v128.load(k, 224))); s = sum1(g); y = xor(c, d);
    b = add(add(s, add(t, majority(d, y, z))), sum0(c)); f = add(add(f, t), s);
    t = choose(f, g, h, add(a, v128.load(k, 240))); s = sum1(f); z = xor(b, c);
    a = add(add(s, add(t, majority(c, z, y))), sum0(b)); e = add(add(e, t), s);
  }
  v128.store(to, add(a, v128.load(from, 0)), 0);
  v128.store(to, add(b, v128.load(from, 16)), 16);
  v128.store(to, add(c, v128.load(from, 32)), 32);
  v128.store(to, add(d, v128.load(from, 48)), 48);
  v128.store(to, add(e, v128.load(from, 64)), 64);
  v128.store(to, add(f, v128.load(from, 80)), 80);
  v128.store(to, add(g, v128.load(from, 96)), 96);
  v128.store(to, add(h, v128.load(from, 112)), 112);
}

/**
 * As `compressSchedule`, in place, for the states of two groups at once. Without a message schedule to
 * compute, one group alone waits for its own rounds; two fill each other's gaps.
 */
export function compressSchedulePair(first: usize, second: usize, schedule: usize): void {
  let a = v128.load(first, 0), b = v128.load(first, 16);
  let c = v128.load(first, 32), d = v128.load(first, 48);
  let e = v128.load(first, 64), f = v128.load(first, 80);
  let g = v128.load(first, 96), h = v128.load(first, 112);
  let qa = v128.load(second, 0), qb = v128.load(second, 16);
  let qc = v128.load(second, 32), qd = v128.load(second, 48);
  let qe = v128.load(second, 64), qf = v128.load(second, 80);
  let qg = v128.load(second, 96), qh = v128.load(second, 112);
  let t: v128, s: v128, y: v128, z = xor(b, c), qt: v128, qs: v128, qy: v128, qz = xor(qb, qc);
  for (let k = schedule, end = schedule + 1024; k < end; k += 256) {
    t = choose(e, f, g, add(h, v128.load(k, 0))); s = sum1(e); y = xor(a, b);
    h = add(add(s, add(t, majority(b, y, z))), sum0(a)); d = add(add(d, t), s);
    qt = choose(qe, qf, qg, add(qh, v128.load(k, 0))); qs = sum1(qe); qy = xor(qa, qb);
    qh = add(add(qs, add(qt, majority(qb, qy, qz))), sum0(qa)); qd = add(add(qd, qt), qs);
    t = choose(d, e, f, add(g, v128.load(k, 16))); s = sum1(d); z = xor(h, a);
    g = add(add(s, add(t, majority(a, z, y))), sum0(h)); c = add(add(c, t), s);
    qt = choose(qd, qe, qf, add(qg, v128.load(k, 16))); qs = sum1(qd); qz = xor(qh, qa);
    qg = add(add(qs, add(qt, majority(qa, qz, qy))), sum0(qh)); qc = add(add(qc, qt), qs);
    t = choose(c, d, e, add(f, v128.load(k, 32))); s = sum1(c); y = xor(g, h);
    f = add(add(s, add(t, majority(h, y, z))), sum0(g)); b = add(add(b, t), s);
    qt = choose(qc, qd, qe, add(qf, v128.load(k, 32))); qs = sum1(qc); qy = xor(qg, qh);
    qf = add(add(qs, add(qt, majority(qh, qy, qz))), sum0(qg)); qb = add(add(qb, qt), qs);
    t = choose(b, c, d, add(e, v128.load(k, 48))); s = sum1(b); z = xor(f, g);
    e = add(add(s, add(t, majority(g, z, y))), sum0(f)); a = add(add(a, t), s);
    qt = choose(qb, qc, qd, add(qe, v128.load(k, 48))); qs = sum1(qb); qz = xor(qf, qg);
    qe = add(add(qs, add(qt, majority(qg, qz, qy))), sum0(qf)); qa = add(add(qa, qt), qs);
    t = choose(a, b, c, add(d, v128.load(k, 64))); s = sum1(a); y = xor(e, f);
    d = add(add(s, add(t, majority(f, y, z))), sum0(e)); h = add(add(h, t), s);
    qt = choose(qa, qb, qc, add(qd, v128.load(k, 64))); qs = sum1(qa); qy = xor(qe, qf);
    qd = add(add(qs, add(qt, majority(qf, qy, qz))), sum0(qe)); qh = add(add(qh, qt), qs);
    t = choose(h, a, b, add(c, v128.load(k, 80))); s = sum1(h); z = xor(d, e);
    c = add(add(s, add(t, majority(e, z, y))), sum0(d)); g = add(add(g, t), s);
    qt = choose(qh, qa, qb, add(qc, v128.load(k, 80))); qs = sum1(qh); qz = xor(qd, qe);
    qc = add(add(qs, add(qt, majority(qe, qz, qy))), sum0(qd)); qg = add(add(qg, qt), qs);
    t = choose(g, h, a, add(b, v128.load(k, 96))); s = sum1(g); y = xor(c, d);
    b = add(add(s, add(t, majority(d, y, z))), sum0(c)); f = add(add(f, t), s);
    qt = choose(qg, qh, qa, add(qb, v128.load(k, 96))); qs = sum1(qg); qy = xor(qc, qd);
    qb = add(add(qs, add(qt, majority(qd, qy, qz))), sum0(qc)); qf = add(add(qf, qt), qs);
    t = choose(f, g, h, add(a, v128.load(k, 112))); s = sum1(f); z = xor(b, c);
    a = add(add(s, add(t, majority(c, z, y))), sum0(b)); e = add(add(e, t), s);
    qt = choose(qf, qg, qh, add(qa, v128.load(k, 112))); qs = sum1(qf); qz = xor(qb, qc);
    qa = add(add(qs, add(qt, majority(qc, qz, qy))), sum0(qb)); qe = add(add(qe, qt), qs);
    t = choose(e, f, g, add(h, v128.load(k, 128))); s = sum1(e); y = xor(a, b);
    h = add(add(s, add(t, majority(b, y, z))), sum0(a)); d = add(add(d, t), s);
    qt = choose(qe, qf, qg, add(qh, v128.load(k, 128))); qs = sum1(qe); qy = xor(qa, qb);
    qh = add(add(qs, add(qt, majority(qb, qy, qz))), sum0(qa)); qd = add(add(qd, qt), qs);
    t = choose(d, e, f, add(g, v128.load(k, 144))); s = sum1(d); z = xor(h, a);
    g = add(add(s, add(t, majority(a, z, y))), sum0(h)); c = add(add(c, t), s);
    qt = choose(qd, qe, qf, add(qg, v128.load(k, 144))); qs = sum1(qd); qz = xor(qh, qa);
    qg = add(add(qs, add(qt, majority(qa, qz, qy))), sum0(qh)); qc = add(add(qc, qt), qs);
    t = choose(c, d, e, add(f, v128.load(k, 160))); s = sum1(c); y = xor(g, h);
    f = add(add(s, add(t, majority(h, y, z))), sum0(g)); b = add(add(b, t), s);
    qt = choose(qc, qd, qe, add(qf, v128.load(k, 160))); qs = sum1(qc); qy = xor(qg, qh);
    qf = add(add(qs, add(qt, majority(qh, qy, qz))), sum0(qg)); qb = add(add(qb, qt), qs);
    t = choose(b, c, d, add(e, v128.load(k, 176))); s = sum1(b); z = xor(f, g);
    e = add(add(s, add(t, majority(g, z, y))), sum0(f)); a = add(add(a, t), s);
    qt = choose(qb, qc, qd, add(qe, v128.load(k, 176))); qs = sum1(qb); qz = xor(qf, qg);
    qe = add(add(qs, add(qt, majority(qg, qz, qy))), sum0(qf)); qa = add(add(qa, qt), qs);
    t = choose(a, b, c, add(d, v128.load(k, 192))); s = sum1(a); y = xor(e, f);
    d = add(add(s, add(t, majority(f, y, z))), sum0(e)); h = add(add(h, t), s);
    qt = choose(qa, qb, qc, add(qd, v128.load(k, 192))); qs = sum1(qa); qy = xor(qe, qf);
    qd = add(add(qs, add(qt, majority(qf, qy, qz))), sum0(qe)); qh = add(add(qh, qt), qs);
    t = choose(h, a, b, add(c, v128.load(k, 208))); s = sum1(h); z = xor(d, e);
    c = add(add(s, add(t, majority(e, z, y))), sum0(d)); g = add(add(g, t), s);
    qt = choose(qh, qa, qb, add(qc, v128.load(k, 208))); qs = sum1(qh); qz = xor(qd, qe);
    qc = add(add(qs, add(qt, majority(qe, qz, qy))), sum0(qd)); qg = add(add(qg, qt), qs);
    t = choose(g, h, a, add(b, v128.load(k, 224))); s = sum1(g); y = xor(c, d);
    b = add(add(s, add(t, majority(d, y, z))), sum0(c)); f = add(add(f, t), s);
    qt = choose(qg, qh, qa, add(qb, v128.load(k, 224))); qs = sum1(qg); qy = xor(qc, qd);
    qb = add(add(qs, add(qt, majority(qd, qy, qz))), sum0(qc)); qf = add(add(qf, qt), qs);
    t = choose(f, g, h, add(a, v128.load(k, 240))); s = sum1(f); z = xor(b, c);
    a = add(add(s, add(t, majority(c, z, y))), sum0(b)); e = add(add(e, t), s);
    qt = choose(qf, qg, qh, add(qa, v128.load(k, 240))); qs = sum1(qf); qz = xor(qb, qc);
    qa = add(add(qs, add(qt, majority(qc, qz, qy))), sum0(qb)); qe = add(add(qe, qt), qs);
  }
  v128.store(first, add(a, v128.load(first, 0)), 0);
  v128.store(first, add(b, v128.load(first, 16)), 16);
  v128.store(first, add(c, v128.load(first, 32)), 32);
  v128.store(first, add(d, v128.load(first, 48)), 48);
  v128.store(first, add(e, v128.load(first, 64)), 64);
  v128.store(first, add(f, v128.load(first, 80)), 80);
  v128.store(first, add(g, v128.load(first, 96)), 96);
  v128.store(first, add(h, v128.load(first, 112)), 112);
  v128.store(second, add(qa, v128.load(second, 0)), 0);
  v128.store(second, add(qb, v128.load(second, 16)), 16);
  v128.store(second, add(qc, v128.load(second, 32)), 32);
  v128.store(second, add(qd, v128.load(second, 48)), 48);
  v128.store(second, add(qe, v128.load(second, 64)), 64);
  v128.store(second, add(qf, v128.load(second, 80)), 80);
  v128.store(second, add(qg, v128.load(second, 96)), 96);
  v128.store(second, add(qh, v128.load(second, 112)), 112);
}

/**
 * The second SHA-256 of a double one: hashes the 32-byte digest at `digest` (eight v128) from the initial
 * value. Words 8 to 15 are padding (0x80000000, zeros, 256), so half of the first schedule steps are
 * constant or short.
 */
export function compressDigest(digest: usize, to: usize): void {
  let a = v128.load(IV, 0), b = v128.load(IV, 16);
  let c = v128.load(IV, 32), d = v128.load(IV, 48);
  let e = v128.load(IV, 64), f = v128.load(IV, 80);
  let g = v128.load(IV, 96), h = v128.load(IV, 112);
  let t: v128, s: v128, y: v128, z = xor(b, c);
  let w0 = v128.load(digest, 0), w1 = v128.load(digest, 16);
  let w2 = v128.load(digest, 32), w3 = v128.load(digest, 48);
  let w4 = v128.load(digest, 64), w5 = v128.load(digest, 80);
  let w6 = v128.load(digest, 96), w7 = v128.load(digest, 112);
  t = choose(e, f, g, add(h, add(w0, v128.load(K, 0)))); s = sum1(e); y = xor(a, b);
  h = add(add(s, add(t, majority(b, y, z))), sum0(a)); d = add(add(d, t), s);
  t = choose(d, e, f, add(g, add(w1, v128.load(K, 16)))); s = sum1(d); z = xor(h, a);
  g = add(add(s, add(t, majority(a, z, y))), sum0(h)); c = add(add(c, t), s);
  t = choose(c, d, e, add(f, add(w2, v128.load(K, 32)))); s = sum1(c); y = xor(g, h);
  f = add(add(s, add(t, majority(h, y, z))), sum0(g)); b = add(add(b, t), s);
  t = choose(b, c, d, add(e, add(w3, v128.load(K, 48)))); s = sum1(b); z = xor(f, g);
  e = add(add(s, add(t, majority(g, z, y))), sum0(f)); a = add(add(a, t), s);
  t = choose(a, b, c, add(d, add(w4, v128.load(K, 64)))); s = sum1(a); y = xor(e, f);
  d = add(add(s, add(t, majority(f, y, z))), sum0(e)); h = add(add(h, t), s);
  t = choose(h, a, b, add(c, add(w5, v128.load(K, 80)))); s = sum1(h); z = xor(d, e);
  c = add(add(s, add(t, majority(e, z, y))), sum0(d)); g = add(add(g, t), s);
  t = choose(g, h, a, add(b, add(w6, v128.load(K, 96)))); s = sum1(g); y = xor(c, d);
  b = add(add(s, add(t, majority(d, y, z))), sum0(c)); f = add(add(f, t), s);
  t = choose(f, g, h, add(a, add(w7, v128.load(K, 112)))); s = sum1(f); z = xor(b, c);
  a = add(add(s, add(t, majority(c, z, y))), sum0(b)); e = add(add(e, t), s);
  t = choose(e, f, g, add(h, v128.load(DIGEST_ROUNDS, 0))); s = sum1(e); y = xor(a, b);
  h = add(add(s, add(t, majority(b, y, z))), sum0(a)); d = add(add(d, t), s);
  t = choose(d, e, f, add(g, v128.load(DIGEST_ROUNDS, 16))); s = sum1(d); z = xor(h, a);
  g = add(add(s, add(t, majority(a, z, y))), sum0(h)); c = add(add(c, t), s);
  t = choose(c, d, e, add(f, v128.load(DIGEST_ROUNDS, 32))); s = sum1(c); y = xor(g, h);
  f = add(add(s, add(t, majority(h, y, z))), sum0(g)); b = add(add(b, t), s);
  t = choose(b, c, d, add(e, v128.load(DIGEST_ROUNDS, 48))); s = sum1(b); z = xor(f, g);
  e = add(add(s, add(t, majority(g, z, y))), sum0(f)); a = add(add(a, t), s);
  t = choose(a, b, c, add(d, v128.load(DIGEST_ROUNDS, 64))); s = sum1(a); y = xor(e, f);
  d = add(add(s, add(t, majority(f, y, z))), sum0(e)); h = add(add(h, t), s);
  t = choose(h, a, b, add(c, v128.load(DIGEST_ROUNDS, 80))); s = sum1(h); z = xor(d, e);
  c = add(add(s, add(t, majority(e, z, y))), sum0(d)); g = add(add(g, t), s);
  t = choose(g, h, a, add(b, v128.load(DIGEST_ROUNDS, 96))); s = sum1(g); y = xor(c, d);
  b = add(add(s, add(t, majority(d, y, z))), sum0(c)); f = add(add(f, t), s);
  t = choose(f, g, h, add(a, v128.load(DIGEST_ROUNDS, 112))); s = sum1(f); z = xor(b, c);
  a = add(add(s, add(t, majority(c, z, y))), sum0(b)); e = add(add(e, t), s);
  w0 = add(w0, sigma0(w1));
  t = choose(e, f, g, add(h, add(w0, v128.load(K, 256)))); s = sum1(e); y = xor(a, b);
  h = add(add(s, add(t, majority(b, y, z))), sum0(a)); d = add(add(d, t), s);
  w1 = add(add(w1, sigma0(w2)), i32x4.splat(0x00a00000));
  t = choose(d, e, f, add(g, add(w1, v128.load(K, 272)))); s = sum1(d); z = xor(h, a);
  g = add(add(s, add(t, majority(a, z, y))), sum0(h)); c = add(add(c, t), s);
  w2 = add(add(w2, sigma0(w3)), sigma1(w0));
  t = choose(c, d, e, add(f, add(w2, v128.load(K, 288)))); s = sum1(c); y = xor(g, h);
  f = add(add(s, add(t, majority(h, y, z))), sum0(g)); b = add(add(b, t), s);
  w3 = add(add(w3, sigma0(w4)), sigma1(w1));
  t = choose(b, c, d, add(e, add(w3, v128.load(K, 304)))); s = sum1(b); z = xor(f, g);
  e = add(add(s, add(t, majority(g, z, y))), sum0(f)); a = add(add(a, t), s);
  w4 = add(add(w4, sigma0(w5)), sigma1(w2));
  t = choose(a, b, c, add(d, add(w4, v128.load(K, 320)))); s = sum1(a); y = xor(e, f);
  d = add(add(s, add(t, majority(f, y, z))), sum0(e)); h = add(add(h, t), s);
  w5 = add(add(w5, sigma0(w6)), sigma1(w3));
  t = choose(h, a, b, add(c, add(w5, v128.load(K, 336)))); s = sum1(h); z = xor(d, e);
  c = add(add(s, add(t, majority(e, z, y))), sum0(d)); g = add(add(g, t), s);
  w6 = add(add(w6, sigma0(w7)), add(i32x4.splat(256), sigma1(w4)));
  t = choose(g, h, a, add(b, add(w6, v128.load(K, 352)))); s = sum1(g); y = xor(c, d);
  b = add(add(s, add(t, majority(d, y, z))), sum0(c)); f = add(add(f, t), s);
  w7 = add(add(w7, i32x4.splat(0x11002000)), add(w0, sigma1(w5)));
  t = choose(f, g, h, add(a, add(w7, v128.load(K, 368)))); s = sum1(f); z = xor(b, c);
  a = add(add(s, add(t, majority(c, z, y))), sum0(b)); e = add(add(e, t), s);
  let w8 = add(i32x4.splat(0x80000000), add(w1, sigma1(w6)));
  t = choose(e, f, g, add(h, add(w8, v128.load(K, 384)))); s = sum1(e); y = xor(a, b);
  h = add(add(s, add(t, majority(b, y, z))), sum0(a)); d = add(add(d, t), s);
  let w9 = add(w2, sigma1(w7));
  t = choose(d, e, f, add(g, add(w9, v128.load(K, 400)))); s = sum1(d); z = xor(h, a);
  g = add(add(s, add(t, majority(a, z, y))), sum0(h)); c = add(add(c, t), s);
  let w10 = add(w3, sigma1(w8));
  t = choose(c, d, e, add(f, add(w10, v128.load(K, 416)))); s = sum1(c); y = xor(g, h);
  f = add(add(s, add(t, majority(h, y, z))), sum0(g)); b = add(add(b, t), s);
  let w11 = add(w4, sigma1(w9));
  t = choose(b, c, d, add(e, add(w11, v128.load(K, 432)))); s = sum1(b); z = xor(f, g);
  e = add(add(s, add(t, majority(g, z, y))), sum0(f)); a = add(add(a, t), s);
  let w12 = add(w5, sigma1(w10));
  t = choose(a, b, c, add(d, add(w12, v128.load(K, 448)))); s = sum1(a); y = xor(e, f);
  d = add(add(s, add(t, majority(f, y, z))), sum0(e)); h = add(add(h, t), s);
  let w13 = add(w6, sigma1(w11));
  t = choose(h, a, b, add(c, add(w13, v128.load(K, 464)))); s = sum1(h); z = xor(d, e);
  c = add(add(s, add(t, majority(e, z, y))), sum0(d)); g = add(add(g, t), s);
  let w14 = add(i32x4.splat(0x00400022), add(w7, sigma1(w12)));
  t = choose(g, h, a, add(b, add(w14, v128.load(K, 480)))); s = sum1(g); y = xor(c, d);
  b = add(add(s, add(t, majority(d, y, z))), sum0(c)); f = add(add(f, t), s);
  let w15 = add(add(i32x4.splat(256), sigma0(w0)), add(w8, sigma1(w13)));
  t = choose(f, g, h, add(a, add(w15, v128.load(K, 496)))); s = sum1(f); z = xor(b, c);
  a = add(add(s, add(t, majority(c, z, y))), sum0(b)); e = add(add(e, t), s);
  for (let k = K + 512; k < K + 1024; k += 256) {
    w0 = add(add(w0, sigma0(w1)), add(w9, sigma1(w14)));
    t = choose(e, f, g, add(h, add(w0, v128.load(k, 0)))); s = sum1(e); y = xor(a, b);
    h = add(add(s, add(t, majority(b, y, z))), sum0(a)); d = add(add(d, t), s);
    w1 = add(add(w1, sigma0(w2)), add(w10, sigma1(w15)));
    t = choose(d, e, f, add(g, add(w1, v128.load(k, 16)))); s = sum1(d); z = xor(h, a);
    g = add(add(s, add(t, majority(a, z, y))), sum0(h)); c = add(add(c, t), s);
    w2 = add(add(w2, sigma0(w3)), add(w11, sigma1(w0)));
    t = choose(c, d, e, add(f, add(w2, v128.load(k, 32)))); s = sum1(c); y = xor(g, h);
    f = add(add(s, add(t, majority(h, y, z))), sum0(g)); b = add(add(b, t), s);
    w3 = add(add(w3, sigma0(w4)), add(w12, sigma1(w1)));
    t = choose(b, c, d, add(e, add(w3, v128.load(k, 48)))); s = sum1(b); z = xor(f, g);
    e = add(add(s, add(t, majority(g, z, y))), sum0(f)); a = add(add(a, t), s);
    w4 = add(add(w4, sigma0(w5)), add(w13, sigma1(w2)));
    t = choose(a, b, c, add(d, add(w4, v128.load(k, 64)))); s = sum1(a); y = xor(e, f);
    d = add(add(s, add(t, majority(f, y, z))), sum0(e)); h = add(add(h, t), s);
    w5 = add(add(w5, sigma0(w6)), add(w14, sigma1(w3)));
    t = choose(h, a, b, add(c, add(w5, v128.load(k, 80)))); s = sum1(h); z = xor(d, e);
    c = add(add(s, add(t, majority(e, z, y))), sum0(d)); g = add(add(g, t), s);
    w6 = add(add(w6, sigma0(w7)), add(w15, sigma1(w4)));
    t = choose(g, h, a, add(b, add(w6, v128.load(k, 96)))); s = sum1(g); y = xor(c, d);
    b = add(add(s, add(t, majority(d, y, z))), sum0(c)); f = add(add(f, t), s);
    w7 = add(add(w7, sigma0(w8)), add(w0, sigma1(w5)));
    t = choose(f, g, h, add(a, add(w7, v128.load(k, 112)))); s = sum1(f); z = xor(b, c);
    a = add(add(s, add(t, majority(c, z, y))), sum0(b)); e = add(add(e, t), s);
    w8 = add(add(w8, sigma0(w9)), add(w1, sigma1(w6)));
    t = choose(e, f, g, add(h, add(w8, v128.load(k, 128)))); s = sum1(e); y = xor(a, b);
    h = add(add(s, add(t, majority(b, y, z))), sum0(a)); d = add(add(d, t), s);
    w9 = add(add(w9, sigma0(w10)), add(w2, sigma1(w7)));
    t = choose(d, e, f, add(g, add(w9, v128.load(k, 144)))); s = sum1(d); z = xor(h, a);
    g = add(add(s, add(t, majority(a, z, y))), sum0(h)); c = add(add(c, t), s);
    w10 = add(add(w10, sigma0(w11)), add(w3, sigma1(w8)));
    t = choose(c, d, e, add(f, add(w10, v128.load(k, 160)))); s = sum1(c); y = xor(g, h);
    f = add(add(s, add(t, majority(h, y, z))), sum0(g)); b = add(add(b, t), s);
    w11 = add(add(w11, sigma0(w12)), add(w4, sigma1(w9)));
    t = choose(b, c, d, add(e, add(w11, v128.load(k, 176)))); s = sum1(b); z = xor(f, g);
    e = add(add(s, add(t, majority(g, z, y))), sum0(f)); a = add(add(a, t), s);
    w12 = add(add(w12, sigma0(w13)), add(w5, sigma1(w10)));
    t = choose(a, b, c, add(d, add(w12, v128.load(k, 192)))); s = sum1(a); y = xor(e, f);
    d = add(add(s, add(t, majority(f, y, z))), sum0(e)); h = add(add(h, t), s);
    w13 = add(add(w13, sigma0(w14)), add(w6, sigma1(w11)));
    t = choose(h, a, b, add(c, add(w13, v128.load(k, 208)))); s = sum1(h); z = xor(d, e);
    c = add(add(s, add(t, majority(e, z, y))), sum0(d)); g = add(add(g, t), s);
    w14 = add(add(w14, sigma0(w15)), add(w7, sigma1(w12)));
    t = choose(g, h, a, add(b, add(w14, v128.load(k, 224)))); s = sum1(g); y = xor(c, d);
    b = add(add(s, add(t, majority(d, y, z))), sum0(c)); f = add(add(f, t), s);
    w15 = add(add(w15, sigma0(w0)), add(w8, sigma1(w13)));
    t = choose(f, g, h, add(a, add(w15, v128.load(k, 240)))); s = sum1(f); z = xor(b, c);
    a = add(add(s, add(t, majority(c, z, y))), sum0(b)); e = add(add(e, t), s);
  }
  v128.store(to, add(a, v128.load(IV, 0)), 0);
  v128.store(to, add(b, v128.load(IV, 16)), 16);
  v128.store(to, add(c, v128.load(IV, 32)), 32);
  v128.store(to, add(d, v128.load(IV, 48)), 48);
  v128.store(to, add(e, v128.load(IV, 64)), 64);
  v128.store(to, add(f, v128.load(IV, 80)), 80);
  v128.store(to, add(g, v128.load(IV, 96)), 96);
  v128.store(to, add(h, v128.load(IV, 112)), 112);
}
