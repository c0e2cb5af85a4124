"""One evening-to-morning cycle: decide, tear down, wait, build once, rebuild each environment, report."""
