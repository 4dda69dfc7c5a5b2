/**
 * WordPress 7.0 with its default theme, with the labels of WordPress/WordPress, wp-includes/comment-template.php
 * (comment_form) and wp-includes/class-wp-admin-bar.php; oidc-wp/openid-connect-generic 3.10.3,
 * includes/openid-connect-generic-login-form.php.
 */
import { type AppPage, type Deed, SkippedDeed } from './app-page.ts'

/** Characters of the list of posts that are read. */
const MOST = 100_000

/** A post, as far as it is read (https://developer.wordpress.org/rest-api/reference/posts/). */
interface Post {
  link?: string
  comment_status?: string
}

const comment: Deed = {
  name: 'a comment is taken',
  async act({ page, origin, mark }) {
    const query = 'rest_route=/wp/v2/posts&per_page=20&_fields=link,comment_status'
    await page.goto(`${origin}/?${query}`)
    const text = (await page.locator('pre').textContent()) ?? ''
    const posts = JSON.parse(text.slice(0, MOST)) as Post[]
    const open = posts.find(({ link, comment_status }) => comment_status === 'open' && link)
    if (!open) throw new SkippedDeed('no post takes comments')
    await page.goto(open.link!)
    await page.getByLabel('Comment').fill(mark)
    const shown = page.waitForEvent('load')
    await page.getByRole('button', { name: 'Post Comment' }).click()
    await shown
    // Its author sees a comment that waits for approval, too.
    await page.getByText(mark).first().waitFor()
  },
}

/** WordPress. Single sign-on makes nobody its administrator. */
export const wordpress: AppPage = {
  client: 'wordpress',
  title: 'WordPress',
  async signIn({ page, origin }) {
    await page.goto(`${origin}/wp-login.php`)
    await page.getByRole('link', { name: 'Login with OpenID Connect' }).click()
  },
  async entered({ page }) {
    await page.getByRole('navigation', { name: 'Toolbar' }).waitFor()
  },
  deeds: [comment],
}
