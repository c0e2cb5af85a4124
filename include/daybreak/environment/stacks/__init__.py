"""The CloudFormation stacks of an environment."""
