/* focus.h: usage as a table of costs in the columns of FOCUS 1.2, the FinOps Open Cost and Usage
 * Specification, for tools that hand costs on to those who caused them.
 *
 *     one row for each    day x project x model x class x price version x direction     "Usage"
 *     and, where it is    day x project x model x class x price version                "Adjustment"
 *     not 0, one for what rounding up added to these
 *
 * What our words are there:
 *
 *     billing account     an organisation        sub account      a project
 *     billing period      a month of the zone    charge period    a day of the zone, as UTC
 *     SKU                 model/class/direction  SKU price        SKU@version
 *     pricing unit        1000000 Tokens         consumed unit    Tokens
 *     tags                tokenworks/team, tokenworks/model, tokenworks/class
 *
 * Columns: all that are mandatory, those that are due on conditions which hold here (there are unit
 * prices, sub accounts, measured use, tags), three that are recommended. Not there, because there
 * is no such thing here: regions, zones of availability, resources, commitments, capacity that is
 * reserved, second currencies.
 *
 * Invariants:
 * 1. The sum of BilledCost is the ledger's amount, to the last digit: costs have up to 15 digits
 *    behind the point and are not rounded.
 * 2. A cost is PricingQuantity x ListUnitPrice, exactly. Billed, list, contracted and effective
 *    cost are the same: a project's own price is a row of the price list like any other.
 * 3. What has no value is an empty field.
 *
 * Ownership: the buffer is the caller's. Threads: any. Errors: those of charges.h, TW_ERR_LIMIT.
 */
#ifndef TW_HUB_FOCUS_H
#define TW_HUB_FOCUS_H

#include "base/buf.h"
#include "hub/usage.h"

/* The dimensions that it needs. */
void tw_focus_set_dimensions(struct tw_usage_wish *wish);
/* provider: who offers the service and bills for it. */
enum tw_status tw_focus_write(const struct tw_usage *usage, const char *provider,
                              struct tw_buf *out, struct tw_error *error);

#endif
