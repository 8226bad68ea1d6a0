/** A pool's answer to what it refuses. */
export type PoolRefusal = { readonly code: number; readonly message: string };

/** How pools write a refusal; every one of these is met in the field. */
export type PoolErrorShape =
  /** `[21,"Stale",null]` */
  | 'array'
  /** `"Stale"` */
  | 'string'
  /** `{"code":21,"message":"Stale"}` */
  | 'object'
  /** `["21","Stale"]` */
  | 'string_codes'
  /** `result` false, `error` null, and `"reject-reason":"Stale"` beside them. */
  | 'reject_reason';

export function refusalReply(id: unknown, { code, message }: PoolRefusal, shape: PoolErrorShape): object {
  switch (shape) {
    case 'array':
      return { id, result: null, error: [code, message, null] };
    case 'string':
      return { id, result: null, error: message };
    case 'object':
      return { id, result: null, error: { code, message } };
    case 'string_codes':
      return { id, result: null, error: [String(code), message] };
    case 'reject_reason':
      return { id, result: false, error: null, 'reject-reason': message };
  }
}
