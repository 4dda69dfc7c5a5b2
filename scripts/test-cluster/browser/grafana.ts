/**
 * Grafana 13, with the labels of grafana/grafana, public/app/core/components/Login/LoginServiceButtons.tsx ("Sign in
 * with NAME"; the name is ours), TopBar/ProfileButton.tsx, and features/profile/UserOrganizations.tsx.
 */
import type { AppPage } from './app-page.ts'

/** Grafana. Its rights follow the label "Admin". */
export const grafana: AppPage = {
  client: 'grafana',
  title: 'Grafana',
  async signIn({ page, origin }) {
    await page.goto(`${origin}/login`)
    await page.getByRole('link', { name: 'Sign in with OpenAppStack' }).click()
  },
  async entered({ page }) {
    await page.getByRole('button', { name: 'Profile' }).waitFor()
  },
  async isAdmin({ page, origin }) {
    await page.goto(`${origin}/profile`)
    const role = page.getByRole('cell', { name: /^(Admin|Editor|Viewer)$/ }).first()
    await role.waitFor()
    return (await role.textContent()) === 'Admin'
  },
  deeds: [],
}
