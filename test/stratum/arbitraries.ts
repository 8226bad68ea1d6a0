import fc from 'fast-check';

/** JSON texts of ids as the field sends them. */
export const rawId = fc.oneof(
  fc.integer({ min: -1000, max: 2 ** 31 }).map(String),
  fc.constantFrom('null', '0', '"auth"', '"xnsub"', '"txlist1f"', '9007199254740993', '1.5', '1e400'),
);

export const u32 = fc.integer({ min: 0, max: 0xffffffff });
export const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
export const difficulty = fc.double({ min: 1e-9, max: 1e15, noNaN: true }).filter((value) => value > 0);
