// Loaded before a script: writes the most memory that it had, in bytes, into the file of OAS_PEAK.
import { writeFileSync } from 'node:fs'

process.on('exit', () => writeFileSync(process.env.OAS_PEAK, String(process.resourceUsage().maxRSS * 1024)))
