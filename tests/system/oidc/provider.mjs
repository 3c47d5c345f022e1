// A real OpenID provider for one test: authorization code with PKCE, JWT access tokens, keys that can be rotated.
// Usage: node provider.mjs PORT. POST /rotate puts a new signing key in front of the old ones.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const keys = [];
let provider;

function renew() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  keys.unshift({ ...privateKey.export({ format: 'jwk' }), kid: `key-${keys.length + 1}`, use: 'sig', alg: 'RS256' });
  provider = new Provider(issuer, {
    jwks: { keys: [...keys] },
    cookies: { keys: ['a cookie key for tests'] },
    clients: [{
      client_id: 'web', client_secret: 'web-secret', redirect_uris: ['http://127.0.0.1:9/callback'],
      grant_types: ['authorization_code'], response_types: ['code'],
    }],
    scopes: ['openid', 'users:read'],
    ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, Interaction: 600, Session: 600, IdToken: 600 },
    features: {
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:api',
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'users:read', audience: 'api', accessTokenFormat: 'jwt', accessTokenTTL: 600,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
}

renew();
createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/rotate') {
    renew();
    response.end('rotated');
    return;
  }
  provider.callback()(request, response);
}).listen(port, '127.0.0.1', () => console.log('ready'));
