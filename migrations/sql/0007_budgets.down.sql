DROP TABLE budget_crossings, deliveries, notifications, budgets, webhooks;
