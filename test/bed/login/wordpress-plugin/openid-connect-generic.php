<?php
/**
 * Plugin Name: Stand-in of openid-connect-generic
 *
 * What oidc-wp/openid-connect-generic 3.10 does with the constants of flux2's wp-config.php in a login and a logout, as
 * its source has it: includes/openid-connect-generic-client.php (requests), -client-wrapper.php (accounts, logout) and
 * -login-form.php (button). Nothing else of the plugin is here.
 */

const STAND_IN_SUBJECT = 'openid-connect-generic-subject-identity';
const STAND_IN_TOKENS = 'openid-connect-generic-last-token-response';

function stand_in_callback(): string
{
    return admin_url('admin-ajax.php?action=openid-connect-authorize');
}

function stand_in_fail(string $code, string $message): never
{
    wp_redirect(wp_login_url() . '?login-error=' . urlencode($code) . '&message=' . urlencode($message));
    exit;
}

/** The body of an answer, or the login page with what is wrong. */
function stand_in_ask(string $url, array $request): array
{
    $answer = wp_remote_post($url, $request);
    if (is_wp_error($answer)) {
        stand_in_fail($answer->get_error_code(), $answer->get_error_message());
    }
    $body = json_decode($answer['body'], true) ?? ['error' => 'invalid-token'];
    if (isset($body['error'])) {
        stand_in_fail($body['error'], $body['error_description'] ?? $body['error']);
    }
    return $body;
}

add_filter('login_message', function ($message) {
    if (isset($_GET['login-error'])) {
        $why = esc_html($_GET['login-error'] . ': ' . ($_GET['message'] ?? ''));
        $message .= "<div id=\"login_error\">ERROR ($why)</div>";
    }
    $state = wp_generate_password(32, false);
    set_transient("stand-in-state-$state", $_REQUEST['redirect_to'] ?? admin_url(), 180);
    $url = OIDC_ENDPOINT_LOGIN_URL . '?' . http_build_query([
        'response_type' => 'code',
        'scope' => OIDC_CLIENT_SCOPE,
        'client_id' => OIDC_CLIENT_ID,
        'state' => $state,
        'redirect_uri' => stand_in_callback(),
    ]);
    return $message . '<a class="button" href="' . esc_url($url) . '">Login with OpenID Connect</a>';
}, 99);

function stand_in_log_in(): never
{
    if (isset($_GET['error'])) {
        stand_in_fail($_GET['error'], $_GET['error_description'] ?? '');
    }
    $back = get_transient('stand-in-state-' . ($_GET['state'] ?? ''));
    if ($back === false) {
        stand_in_fail('invalid-state', 'Invalid state.');
    }
    $tokens = stand_in_ask(OIDC_ENDPOINT_TOKEN_URL, ['body' => [
        'code' => $_GET['code'] ?? '',
        'client_id' => OIDC_CLIENT_ID,
        'client_secret' => OIDC_CLIENT_SECRET,
        'redirect_uri' => stand_in_callback(),
        'grant_type' => 'authorization_code',
        'scope' => OIDC_CLIENT_SCOPE,
    ]]);
    $bearer = ['Authorization' => 'Bearer ' . $tokens['access_token']];
    $claims = stand_in_ask(OIDC_ENDPOINT_USERINFO_URL, ['headers' => $bearer]);
    $found = get_users(['meta_key' => STAND_IN_SUBJECT, 'meta_value' => $claims['sub']]);
    $user = $found[0] ?? stand_in_create($claims);
    update_user_option($user->ID, STAND_IN_TOKENS, $tokens);
    wp_set_auth_cookie($user->ID);
    wp_redirect($back);
    exit;
}
add_action('wp_ajax_openid-connect-authorize', 'stand_in_log_in');
add_action('wp_ajax_nopriv_openid-connect-authorize', 'stand_in_log_in');

/** A new account; one that has the name already is not taken: the next free number is added (name2). */
function stand_in_create(array $claims): WP_User
{
    $wanted = sanitize_user($claims['preferred_username'], true);
    for ($name = $wanted, $i = 2; username_exists($name); $i++) {
        $name = $wanted . $i;
    }
    $id = wp_insert_user([
        'user_login' => $name,
        'user_pass' => wp_generate_password(32, true, true),
        'user_email' => $claims['email'],
        'display_name' => $claims['name'],
    ]);
    if (is_wp_error($id)) {
        stand_in_fail('failed-user-creation', 'Failed user creation.');
    }
    update_user_option($id, STAND_IN_SUBJECT, $claims['sub'], true);
    return get_user_by('id', $id);
}

add_filter('allowed_redirect_hosts', fn ($hosts) => [...$hosts, parse_url(OIDC_ENDPOINT_LOGOUT_URL, PHP_URL_HOST)], 99);
add_filter('logout_redirect', function ($url, $_requested, $user) {
    $tokens = get_user_option(STAND_IN_TOKENS, $user->ID);
    return !$tokens ? $url : OIDC_ENDPOINT_LOGOUT_URL . '?' . http_build_query([
        'id_token_hint' => $tokens['id_token'],
        'post_logout_redirect_uri' => $url,
    ]);
}, 99, 3);
