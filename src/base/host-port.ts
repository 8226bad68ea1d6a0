/** An address and a port as they are written together: an IPv6 address has brackets. */
export function hostPortText(host: string, port: number | string): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
