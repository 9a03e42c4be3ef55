/** Bytes by digest. Writing the same bytes twice is one object; an object is never changed. */
export interface ObjectStore {
  /** Keeps the bytes (fsynced) and returns their SHA-256. */
  put(bytes: Uint8Array): Promise<string>;
  /** The bytes, verified against the digest. `notFound` when the store does not have them. */
  get(sha256: string): Promise<Uint8Array>;
  has(sha256: string): Promise<boolean>;
}
