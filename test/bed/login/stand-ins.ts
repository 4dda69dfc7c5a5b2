/**
 * Applications that cannot be had on this bed, each as its source describes it: what it sends to single sign-on, what
 * it reads, and how it takes people for its accounts. The addresses are those of flux2/apps.
 */

/** What the ID token or userinfo says of somebody. */
export type Claims = Record<string, unknown>

/** What one application sends, and how it takes people for its accounts. */
export interface Application {
  /** Its host below the domain. */
  host: string
  clientId: string
  /** Its redirect URI below its host; WordPress' has a query. */
  redirect: string
  /** How its token request authenticates. */
  auth: 'client_secret_post' | 'client_secret_basic'
  /** Whether its request proves that the code is its own (RFC 7636), and names a nonce. */
  pkce: boolean
  nonce: boolean
  /** Other parameters of the token request, by the state and scope of the login. */
  more?: (login: { state: string; scope: string }) => Record<string, string>
  /** Where it reads claims: in the ID token, or at userinfo by this method. */
  claims: 'token' | 'GET' | 'POST'
  /** The button of its login page. */
  button: string
  /** The name of the account that it opens for somebody. */
  account: (claims: Claims) => string
  /** What somebody may do there. Throws where it refuses the login. */
  role: (claims: Claims) => 'administrator' | 'user'
  /** Its logout goes to hydra, with the ID token as a hint, and names this address to return to. */
  logout?: string
  /** Where it takes logout tokens. */
  backChannel?: string
}

const byGroup = ({ groups }: Claims) =>
  Array.isArray(groups) && groups.includes('admin') ? 'administrator' : 'user'
const byName = ({ preferred_username }: Claims) => String(preferred_username)
const bySubject = ({ sub }: Claims) => String(sub)

/** Each with the files of its source that it was read from. */
export const APPLICATIONS: readonly Application[] = [
  {
    // nextcloud/user_oidc v8.10, lib/Controller/LoginController.php (login, code, singleLogoutService,
    // backChannelLogout) and appinfo/routes.php; values.yaml maps preferred_username to the account.
    host: 'files',
    clientId: 'nextcloud',
    redirect: '/apps/user_oidc/code',
    auth: 'client_secret_post',
    pkce: true,
    nonce: true,
    claims: 'token',
    button: 'Login with OpenAppStack',
    account: byName,
    role: byGroup,
    logout: '/',
    backChannel: '/apps/user_oidc/backchannel-logout/OpenAppStack',
  },
  {
    // RocketChat/Rocket.Chat, apps/meteor/app/custom-oauth/server/custom_oauth_server.js (getAccessToken with
    // token_sent_via payload, getIdentity): no ID token is read, and its logout stays its own.
    host: 'chat',
    clientId: 'rocketchat',
    redirect: '/_oauth/openappstack',
    auth: 'client_secret_post',
    pkce: false,
    nonce: false,
    more: ({ state }) => ({ state }),
    claims: 'GET',
    button: 'Login with OpenAppStack',
    account: byName,
    // Without a licence only a user of this name can be an administrator (merge_users).
    role: claims => (byName(claims) === 'admin' ? 'administrator' : 'user'),
  },
  {
    // wekan/wekan, packages/wekan-oidc/oidc_server.js (getToken, getUserInfo): the id is `sub` (OAUTH2_ID_MAP).
    host: 'wekan',
    clientId: 'wekan',
    redirect: '/_oauth/oidc',
    auth: 'client_secret_post',
    pkce: false,
    nonce: false,
    more: ({ state }) => ({ state }),
    claims: 'GET',
    button: 'Sign in with OpenAppStack',
    account: bySubject,
    role: byGroup,
  },
  {
    // grafana/grafana, pkg/login/social/connectors/generic_oauth.go (UserInfo) with the values of
    // kube-prometheus-stack: the role comes from the ID token, and JMESPath fails without `groups`.
    host: 'grafana',
    clientId: 'grafana',
    redirect: '/login/generic_oauth',
    auth: 'client_secret_post',
    pkce: true,
    nonce: false,
    claims: 'token',
    button: 'Sign in with OpenAppStack',
    account: claims => {
      // The name of Grafana's own user (adminUser): it refuses whoever has it (LoginConflict).
      if (byName(claims) === 'grafana-admin') throw new Error('User sync failed')
      return byName(claims)
    },
    role: claims => {
      if (!Array.isArray(claims.groups)) throw new Error('idP did not return a role attribute')
      return byGroup(claims)
    },
  },
  {
    // oidc-wp/openid-connect-generic, includes/openid-connect-generic-client.php (request_authentication_token,
    // request_userinfo) and -client-wrapper.php (get_end_session_logout_redirect_url); logout.php of flux2 leads the
    // logout to the first page.
    host: 'www',
    clientId: 'wordpress',
    redirect: '/wp-admin/admin-ajax.php?action=openid-connect-authorize',
    auth: 'client_secret_post',
    pkce: false,
    nonce: false,
    more: ({ scope }) => ({ scope }),
    claims: 'POST',
    button: 'Login with OpenID Connect',
    account: bySubject,
    // The plugin knows no roles: everybody is a subscriber until an administrator of WordPress says more.
    role: () => 'user',
    logout: '/',
  },
]
