import "reflect-metadata";
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  webcrypto,
  X509Certificate,
} from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import type { Clock } from "../site/clock.js";
import { ensureFolder, writeAtomically } from "../stores/atomic.js";

/** The site's TLS identity: its own CA, and the certificate of the targets' listener. All PEM. */
export interface SiteTls {
  ca: string;
  certificate: string;
  key: string;
  /** curl's form of the leaf key's pin (RFC 7469): `sha256//` and base64 of the SHA-256 of its SubjectPublicKeyInfo. */
  pin: string;
}

const DAY_MS = 86_400_000;
/** The leaf lives for a year and is renewed a month before its end; the CA outlives the hardware. */
const LEAF_DAYS = 397;
const RENEW_DAYS = 30;
const CA_DAYS = 20 * 365;

/** Validity begins long ago: a target whose clock lost its battery has a date of its firmware's making. */
const NOT_BEFORE = new Date("2000-01-01T00:00:00Z");
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/**
 * Ensures CA, key and certificate in `folder` (private keys 0600). The leaf's key is made once, so that the pin stays when
 * the leaf is renewed: near its end, or when `names` are no longer those in it.
 */
export async function ensureTls(folder: string, names: string[], now: Clock): Promise<SiteTls> {
  await ensureFolder(folder);
  const caKey = await ensureKey(join(folder, "ca.key"));
  const key = await ensureKey(join(folder, "tls.key"));
  const ca = await ensureCa(join(folder, "ca.pem"), caKey, now);
  const certificate = await ensureLeaf(join(folder, "tls.pem"), { names, key, ca, caKey, now });
  const spki = createPublicKey(key).export({ type: "spki", format: "der" });
  return { ca, certificate, key, pin: `sha256//${createHash("sha256").update(spki).digest("base64")}` };
}

/**
 * The names that the leaf has to cover: loopback, the host's side of QEMU's user network, this machine's own name, and the
 * hosts of the URLs by which targets reach it.
 */
export function siteNames(urls: (string | undefined)[]): string[] {
  const hosts = urls.flatMap((url) => (url === undefined ? [] : [new URL(url).hostname.replace(/^\[|\]$/g, "")]));
  return [...new Set(["localhost", "127.0.0.1", "::1", "10.0.2.2", hostname(), ...hosts])];
}

async function ensureKey(path: string): Promise<string> {
  const present = await readIfThere(path);
  if (present !== null) return present;
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return await keep(path, privateKey.export({ type: "pkcs8", format: "pem" }).toString());
}

async function ensureCa(path: string, caKey: string, now: Clock): Promise<string> {
  const present = await readIfThere(path);
  if (present !== null && new X509Certificate(present).checkPrivateKey(createPrivateKey(caKey))) return present;
  const keys = await cryptoKeys(caKey);
  const made = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: "CN=Pitstop site CA",
      notBefore: NOT_BEFORE,
      notAfter: new Date(now() + CA_DAYS * DAY_MS),
      keys,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return await keep(path, `${made.toString("pem")}\n`);
}

interface LeafFacts {
  names: string[];
  key: string;
  ca: string;
  caKey: string;
  now: Clock;
}

async function ensureLeaf(path: string, facts: LeafFacts): Promise<string> {
  const present = await readIfThere(path);
  if (present !== null && isStillGood(new X509Certificate(present), facts)) return present;
  const keys = await cryptoKeys(facts.key);
  const issuer = new x509.X509Certificate(facts.ca);
  const made = await x509.X509CertificateGenerator.create(
    {
      subject: "CN=Pitstop site",
      issuer: issuer.subject,
      notBefore: NOT_BEFORE,
      notAfter: new Date(facts.now() + LEAF_DAYS * DAY_MS),
      publicKey: keys.publicKey,
      signingKey: (await cryptoKeys(facts.caKey)).privateKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension(facts.names.map(alternativeName)),
        await x509.AuthorityKeyIdentifierExtension.create(issuer, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return await keep(path, `${made.toString("pem")}\n`);
}

function isStillGood(leaf: X509Certificate, facts: LeafFacts): boolean {
  const covers = (name: string): boolean =>
    (isIP(name) ? leaf.checkIP(name) : leaf.checkHost(name, { wildcards: false })) !== undefined;
  return (
    leaf.checkIssued(new X509Certificate(facts.ca)) &&
    leaf.checkPrivateKey(createPrivateKey(facts.key)) &&
    Date.parse(leaf.validTo) - facts.now() > RENEW_DAYS * DAY_MS &&
    facts.names.every(covers)
  );
}

const alternativeName = (name: string): { type: "ip" | "dns"; value: string } => ({
  type: isIP(name) ? "ip" : "dns",
  value: name,
});

async function cryptoKeys(pem: string): Promise<webcrypto.CryptoKeyPair> {
  const der = createPrivateKey(pem).export({ type: "pkcs8", format: "der" });
  const spki = createPublicKey(pem).export({ type: "spki", format: "der" });
  return {
    privateKey: await webcrypto.subtle.importKey("pkcs8", der, ALGORITHM, false, ["sign"]),
    publicKey: await webcrypto.subtle.importKey("spki", spki, ALGORITHM, true, ["verify"]),
  };
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

async function keep(path: string, text: string): Promise<string> {
  await writeAtomically(path, (handle) => handle.writeFile(text), { mode: 0o600 });
  return text;
}
