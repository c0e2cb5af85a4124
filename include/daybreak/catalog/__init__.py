"""What exists: the catalog of one commit of the monorepo."""

from daybreak.catalog.resource import Action, Resource, ResourceType, at, rt

__all__ = ["Action", "Resource", "ResourceType", "at", "rt"]
