import "reflect-metadata";
import { createHash, webcrypto } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
/** Ten years: a lab's certificates are pinned, not renewed. */
const LIFETIME_MS = 10 * 365 * 86_400_000;
type KeyPair = webcrypto.CryptoKeyPair;

/** A key, its certificate, and the certificate's fingerprint as operators pin it. */
export interface LabIdentity {
  key: string;
  cert: string;
  fingerprint256: string;
}

/** The lab's own certificate authority, kept in `dir` so that pinned fingerprints survive a restart. */
export class LabCa {
  readonly #dir: string;
  readonly #keys: KeyPair;
  readonly #certificate: x509.X509Certificate;

  private constructor(dir: string, keys: KeyPair, certificate: x509.X509Certificate) {
    this.#dir = dir;
    this.#keys = keys;
    this.#certificate = certificate;
  }

  /** Path of the CA's PEM file, for clients that verify by CA instead of by fingerprint. */
  get caFile(): string {
    return join(this.#dir, "ca.crt");
  }

  static async open(dir: string): Promise<LabCa> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const [keyFile, certFile] = [join(dir, "ca.key"), join(dir, "ca.crt")];
    if (existsSync(keyFile) && existsSync(certFile)) {
      const certificate = new x509.X509Certificate(await readFile(certFile, "utf8"));
      const privateKey = await importKey(await readFile(keyFile, "utf8"));
      return new LabCa(dir, { privateKey, publicKey: await certificate.publicKey.export() }, certificate);
    }
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: "CN=Pitstop lab CA",
      keys,
      signingAlgorithm: ALGORITHM,
      ...validity(),
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    await writeFile(keyFile, await exportKey(keys.privateKey), { mode: 0o600 });
    await writeFile(certFile, certificate.toString("pem"));
    return new LabCa(dir, keys, certificate);
  }

  /** The certificate of one BMC: made once, then read. `host`: an IP address or a DNS name. */
  async identity(name: string, host: string): Promise<LabIdentity> {
    const [keyFile, certFile] = [join(this.#dir, `${name}.key`), join(this.#dir, `${name}.crt`)];
    if (existsSync(keyFile) && existsSync(certFile)) {
      return identityOf(await readFile(keyFile, "utf8"), await readFile(certFile, "utf8"));
    }
    const keys = await newKeys();
    const isIp = /^[0-9.]+$|:/.test(host);
    const names: x509.JsonGeneralName[] = [
      { type: isIp ? "ip" : "dns", value: host },
      { type: "dns", value: name },
      ...(host === "127.0.0.1" ? [{ type: "dns", value: "localhost" } as const] : []),
    ];
    const certificate = await x509.X509CertificateGenerator.create({
      subject: `CN=${name} BMC`,
      issuer: this.#certificate.subject,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: ALGORITHM,
      ...validity(),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension(names),
        await x509.AuthorityKeyIdentifierExtension.create(this.#certificate.publicKey),
      ],
    });
    const key = await exportKey(keys.privateKey);
    await writeFile(keyFile, key, { mode: 0o600 });
    await writeFile(certFile, certificate.toString("pem"));
    return identityOf(key, certificate.toString("pem"));
  }
}

function identityOf(key: string, cert: string): LabIdentity {
  const digest = createHash("sha256")
    .update(new Uint8Array(new x509.X509Certificate(cert).rawData))
    .digest("hex");
  return { key, cert, fingerprint256: (digest.toUpperCase().match(/../g) ?? []).join(":") };
}

const newKeys = (): Promise<KeyPair> => webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);

const validity = () => ({
  // An hour back: clients' clocks may be behind ours.
  notBefore: new Date(Date.now() - 3_600_000),
  notAfter: new Date(Date.now() + LIFETIME_MS),
});

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY");
}

async function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = x509.PemConverter.decodeFirst(pem);
  return webcrypto.subtle.importKey("pkcs8", der, ALGORITHM, true, ["sign"]);
}
