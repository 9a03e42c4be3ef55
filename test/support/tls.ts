import "reflect-metadata";
import { createHash, webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[1]);

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** A CA and a leaf for 127.0.0.1 and 10.0.2.2, with the leaf's pin as curl writes it. */
export interface TestCertificate {
  caPem: string;
  certPem: string;
  keyPem: string;
  /** `sha256//BASE64` of the leaf's SubjectPublicKeyInfo. */
  pin: string;
}

/** Valid from a minute ago for an hour; `shiftDays` moves that into the past or the future, as a wrong clock would. */
export async function makeCertificate(shiftDays = 0): Promise<TestCertificate> {
  const caKeys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const leafKeys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const now = Date.now() + shiftDays * 86_400_000;
  const notBefore = new Date(now - 60_000);
  const notAfter = new Date(now + 3_600_000);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: "CN=test CA",
    notBefore,
    notAfter,
    signingAlgorithm: algorithm,
    keys: caKeys,
    extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
  });
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: "02",
    subject: "CN=test gateway",
    issuer: ca.subject,
    notBefore,
    notAfter,
    signingAlgorithm: algorithm,
    publicKey: leafKeys.publicKey,
    signingKey: caKeys.privateKey,
    extensions: [
      new x509.SubjectAlternativeNameExtension([
        { type: "ip", value: "127.0.0.1" },
        { type: "ip", value: "10.0.2.2" },
      ]),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", leafKeys.privateKey)).toString("base64");
  return {
    caPem: ca.toString("pem"),
    certPem: leaf.toString("pem"),
    keyPem: `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`,
    pin: `sha256//${createHash("sha256").update(new Uint8Array(leaf.publicKey.rawData)).digest("base64")}`,
  };
}
